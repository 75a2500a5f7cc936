"""The page docs/verdicts.md: its text is kept, and the block of each measured part is replaced."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Section, machine


def write_page(page: Path, part: str, sections: Sequence[Section]) -> None:
    """Replace the block of a part, between its two marks, or append it."""
    body = "\n".join(section.markdown() for section in sections)
    block = f"<!-- {part} -->\n{body}\nMeasured on {machine()}.\n<!-- end {part} -->"
    text = page.read_text("utf-8")
    # Spliced by position: a replacement string would have its backslashes read as escapes.
    match = re.search(f"<!-- {part} -->.*?<!-- end {part} -->", text, re.S)
    text = text[: match.start()] + block + text[match.end() :] if match else f"{text}\n{block}\n"
    page.write_text(text, "utf-8")
