"""Wording of counts in messages and reports."""


def count_noun(count: int, noun: str) -> str:
    """Return the count and its noun, in the plural unless the count is 1: "1 clip", "2,000 clips"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
