"""Evaluation: predictions for labelled clips, metrics and their intervals."""
