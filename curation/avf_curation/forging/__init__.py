"""Forgeries made by code out of real videos, with the truth of each: to learn and to test deepfake detection."""
