"""What all tables in the terminal share. Names from outside are shown as plain text."""

from rich.text import Text

FEW = 10  # of each kind, in a report for a terminal


def printable(text: str) -> Text:
    """Return text from outside with its control characters escaped; markup in it has no effect."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
