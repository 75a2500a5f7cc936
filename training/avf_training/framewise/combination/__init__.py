"""Ensembles of predictions for frames, as a plan says: who answers which video, and how."""
