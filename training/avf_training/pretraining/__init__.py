"""Masked pre-training: step, validation, reconstructions."""
