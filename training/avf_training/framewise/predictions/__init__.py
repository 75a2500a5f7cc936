"""Predictions for frames: read, turned into answers, joined with labels and scored."""
