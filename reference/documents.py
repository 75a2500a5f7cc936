"""Documents at the root of the repository as pages of the site, and the list of decisions."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "NOTICE": "project/notice.md",
}
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")
_INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.M)


def write_document(name: str) -> str:
    """Return a document of the root as a page below project/. Links to files that are no pages become plain text."""
    text = (ROOT / name).read_text("utf-8")
    if not name.endswith(".md"):
        return f"# Notices\n\n```text\n{text.rstrip()}\n```\n"
    return re.sub(r"\[([^\]]+)\]" + _LINK.pattern[2:], lambda match: _link(match[1], match[2], match[3] or ""), text)


def write_decisions() -> str:
    """Return the list of the architecture decision records."""
    lines = ["# Decisions", "Short records of decisions that are expensive to change."]
    items = []
    for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        items.append(f"- [{title}]({path.name})")
    return "\n\n".join([*lines, "\n".join(items)]) + "\n"


def _link(text: str, target: str, anchor: str) -> str:
    if target in PAGES:
        return f"[{text}]({posixpath.basename(PAGES[target])}{anchor})"
    if target.startswith("docs/") and target.endswith(".md"):
        return f"[{text}](../{target.removeprefix('docs/')}{anchor})"
    return text if text == target else f"{text} (`{target}`)" if target not in text else text
