"""The code blocks of README and of the docs pages."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docker/README.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
_BLOCK = re.compile(r"(?:^<!-- run(?P<run>:[^>]*)? -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """A fenced block of a page."""

    page: str  # path below the root
    line: int  # number of its first line
    language: str  # as written after the fence; empty: none
    text: str  # between the fences
    run: tuple[str, ...] | None  # words of the lines to run; empty: all lines; None: the block is not run

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Return the words of each command of a shell block, without comments; a redirection stays in the words."""
        lines = self.text.replace("\\\n", " ").splitlines()
        commands = []
        for line in lines:
            if re.match(r"\w+=\$\(", line):  # a variable of the shell, from a pipe
                continue
            words = shlex.split(line, comments=True)
            while words:
                end = next((n for n, word in enumerate(words) if word in ("&&", "|", ";", "&")), len(words))
                if words[:end]:
                    commands.append(words[:end])
                words = words[end + 1 :]
        return commands


def blocks() -> Iterator[CodeBlock]:
    """Yield the blocks of all pages, then the cells of commands of the notebooks (there `line` is the cell)."""
    for page in dict.fromkeys(PAGES):
        text = page.read_text("utf-8")
        for match in _BLOCK.finditer(text):
            run = None
            if match.group(0).startswith("<!-- run"):
                run = tuple(word.strip() for word in (match["run"] or ":")[1:].split(",") if word.strip())
            yield CodeBlock(
                page=str(page.relative_to(ROOT)),
                line=text.count("\n", 0, match.start("text")) + 1,
                language=match["language"].strip(),
                text=match["text"],
                run=run,
            )
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and source.startswith("%%bash\n"):
                text = source.removeprefix("%%bash\n")
                yield CodeBlock(page=f"notebooks/{path.name}", line=number, language="sh", text=text, run=None)
