"""Checkpoints of the authors: names, conversion, parity."""
