"""Shards become trained models: pre-training, post-pre-training, fine-tuning, evaluation. Reads avf_shards only."""
