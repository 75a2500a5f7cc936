"""What a run is of, and so what its shards hold: clips of videos, or face pictures. Nothing holds both."""

from typing import Literal

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields
from avf_shards.timeline import format_duration

Content = Literal["clips", "pictures"]


def read_content(fields: Fields) -> Content:
    """Return the content that a file names; clips where it names none, as all of them did once. Raises FaultError."""
    text = fields.optional_text("content")
    if text is None or text == "clips":
        return "clips"
    if text == "pictures":
        return "pictures"
    raise FaultError(f"{fields.where}: content must be clips or pictures, and is {text[:40]!r}")


def input_noun(content: Content) -> str:
    """Return what an input is called."""
    return "video" if content == "clips" else "picture"


def format_amount(frames: int, content: Content) -> str:
    """Return an amount of input for people: the duration of frames at 25 fps, or the number of pictures."""
    return format_duration(frames) if content == "clips" else f"{frames:,}"
