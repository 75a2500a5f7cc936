"""Supervised stages: fine-tuning, post-pre-training, model selection."""
