"""Wording of counts and durations in messages and reports, and text from outside without what steers a terminal."""

import json
import os
import re
import shlex
import unicodedata
from os import PathLike
from typing import Any

_FORMULA_STARTS = ("=", "+", "@", "\t")  # of a cell, in spreadsheets (OWASP, CSV injection)
_CANDIDATE = re.compile(r"[^ -~]")  # printable ASCII needs no look-up


def shell_word(value: PathLike[str] | str) -> str:
    """Return a path or a name as one word of a shell, for a command that a message gives."""
    return shlex.quote(os.fspath(value))


def printable(text: str) -> str:
    """Return text with every control character, line break, direction mark and lone surrogate escaped as in Python.

    Names from outside may hold any of them, and a terminal obeys.
    """
    return _CANDIDATE.sub(lambda match: _escape(match[0]), text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return text as `printable` does, but keep its line breaks and tabs.

    Args:
        indent: put before each line but the first that begins with no space, so that no name can begin a line.
    """
    first, *others = ("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    return "\n".join([first, *(f"{indent}{line}" if line and line[0] != " " else line for line in others)])


def printable_json(text: str) -> str:
    """Return JSON text whose strings hold escapes where `printable` would escape, so that it says the same."""
    return re.sub(r"[^\n -~]", lambda match: match[0] if _is_visible(match[0]) else _json_escape(match[0]), text)


def _is_visible(character: str) -> bool:
    # The spaces of other scripts (U+3000) are no control characters, though Python takes them for unprintable.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character if _is_visible(character) else repr(character)[1:-1]


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))


def table_cell(text: str) -> str:
    """Return text for a cell of a table that a spreadsheet may open: one line, and no formula.

    What begins with `=`, `+`, `@` or a tab has an apostrophe before it; a minus stays, because it begins labels too.
    """
    line = " ".join(text.splitlines())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line


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


def load_json(data: bytes | str, **hooks: Any) -> Any:
    """Return the value of JSON from outside. Raises ValueError for text that is no JSON or is nested too deeply."""
    try:
        return json.loads(data, **hooks)
    except RecursionError:
        raise ValueError("nested too deeply") from None
