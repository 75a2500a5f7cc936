"""Trained models on new clips: predictions, embeddings, export."""
