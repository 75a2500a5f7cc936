"""Wording of counts and durations in messages and reports."""


def count_noun(count: int, noun: str) -> str:
    """Return the count and its noun, in the plural unless the count is 1: "1 clip", "2,000 clips"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def describe_unreadable(count: int) -> str:
    """Return the sentence that says how many folders or files a plan lacks; the empty text where it lacks none."""
    if not count:
        return ""
    noun, pronoun = ("folder or file", "its") if count == 1 else ("folders or files", "their")
    return f"{count:,} {noun} could not be read when the run was planned: the plan lacks {pronoun} videos"


def format_wait(seconds: float) -> str:
    """Return a duration in the unit that a person waits in: 40 s, 5 min, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
