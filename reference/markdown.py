"""Markdown that is written by code: cells and tables."""

import html
import re
from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    """Return text in the code style, for a cell of a table; empty text stays empty."""
    return f"<code>{escape(text)}</code>" if text else ""


def escape(text: str) -> str:
    """Return text in which no character has a meaning in Markdown tables or HTML."""
    escaped = html.escape(text, quote=False)
    for character in "|*[]`$":
        escaped = escaped.replace(character, f"&#{ord(character)};")
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", "&#95;", escaped)  # inside a word it is plain, and the search finds the word
    return " ".join(escaped.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already. No rows give no table."""
    lines = [" | ".join(row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines)) + "\n"


def paragraphs(text: str) -> str:
    """Return the paragraphs of a help text as Markdown; indented blocks become code blocks."""
    blocks = [block for block in text.strip("\n").split("\n\n") if block.strip()]
    return "\n\n".join(_paragraph(block) for block in blocks)


def _paragraph(block: str) -> str:
    if "\n  " not in f"\n{block}":
        return escape(block)
    head, _, rest = block.partition("\n")
    first = f"{escape(head.strip()).capitalize()}\n\n" if not head.startswith("  ") else ""
    body = rest if first else block
    return f"{first}```text\n{body.rstrip()}\n```"
