"""The corpus of interviews, for avf-curate."""
