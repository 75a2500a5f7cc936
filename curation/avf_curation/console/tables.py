"""What all tables in the terminal share. Names from outside are shown as plain text."""

from avf_shards.text import printable
from rich.text import Text

FEW = 10  # of each kind, in a report for a terminal


def plain_text(text: str) -> Text:
    """Return text from outside with its control characters escaped; markup in it has no effect."""
    return Text(printable(text))
