"""Ids of YouTube videos."""

import re

YOUTUBE_ID = r"[A-Za-z0-9_-]{11}"


def is_youtube_id(text: str) -> bool:
    """Return whether `text` can be a YouTube id."""
    return re.fullmatch(YOUTUBE_ID, text) is not None
