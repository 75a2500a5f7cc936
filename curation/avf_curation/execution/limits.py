"""Limits of an execution that every engine shares."""

DEFAULT_MAX_FAULT_SHARE = 0.05  # of videos that fail for reasons that are not the file's; above it the run stops
MAX_UNIT_TRIES = 3  # of a unit for which a read, a write or a library fails; then it stays undecided
