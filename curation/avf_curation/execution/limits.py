"""Limits of an execution that every engine shares."""

DEFAULT_MAX_FAULT_SHARE = 0.05  # of videos that fail for reasons that are not the file's; above it the run stops
MAX_STORAGE_FAULTS = 3  # tries of a unit whose files cannot be read or written; then the run stops
