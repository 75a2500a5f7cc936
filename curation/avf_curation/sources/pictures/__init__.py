"""Corpora of face pictures as their owners lay them out. They are listed and checked; pictures are not curated yet."""
