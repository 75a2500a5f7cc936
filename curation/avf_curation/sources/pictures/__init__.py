"""Corpora of face pictures as their owners lay them out, and folders of a user's own pictures."""
