"""Names of films on YouTube."""

import re

FILM = r"[A-Za-z0-9_-]{11}"


def is_video_id(text: str) -> bool:
    """Whether `text` can be a YouTube id."""
    return re.fullmatch(FILM, text) is not None
