"""docs/faults.md: a section and a table for each part, and the sums of all parts in front."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.faults.parts import PARTS, Part
from benchmarks.faults.trials import Trial
from benchmarks.table import machine

_HEAD = ("injected", "tried", "what happened", "lost", "silent")
_SUMS = re.compile(r"<!-- part (\w+) (\{.*?\}) -->")


def write_part(path: Path, part: Part, trials: Sequence[Trial]) -> None:
    """Replace the section of a part, and the sums of all parts, in the page."""
    text = path.read_text("utf-8")
    sums = {
        "tried": len(trials),
        "lost": sum(trial.lost for trial in trials),
        "silent": sum(trial.silent for trial in trials),
        "peak_mb": round(max((trial.peak_mb for trial in trials), default=0)),
    }
    block = f"<!-- part {part.name} {json.dumps(sums)} -->\n{_section(part, trials)}<!-- end {part.name} -->"
    text = _replace(text, rf"<!-- part {part.name} .*?<!-- end {part.name} -->", block)
    values = {name: json.loads(value) for name, value in _SUMS.findall(text)}
    table = "\n".join(_sum_lines(values))
    text = _replace(text, r"<!-- sums -->.*?<!-- end sums -->", f"<!-- sums -->\n\n{table}\n\n<!-- end sums -->")
    path.write_text(text, "utf-8")


def _replace(text: str, pattern: str, block: str) -> str:
    # Spliced by position: a replacement string would have its backslashes read as escapes.
    match = re.search(pattern, text, re.S)
    return text[: match.start()] + block + text[match.end() :] if match else f"{text}\n{block}\n"


def _sum_lines(values: dict[str, dict[str, int]]) -> list[str]:
    rows = []
    for part in PARTS:
        sums = values.get(part.name)
        command = f"`python -m benchmarks.faults {part.name}`"
        if sums is None:
            rows.append((part.title, "not measured", "", "", "", command))
        else:
            peak = f"{sums['peak_mb']:,} MB" if sums["peak_mb"] else ""
            rows.append((part.title, f"{sums['tried']:,}", f"{sums['lost']:,}", f"{sums['silent']:,}", peak, command))
    return _table(("family", "tried", "lost", "silent", "highest memory", "command"), rows)


def _section(part: Part, trials: Sequence[Trial]) -> str:
    rows = []
    measures_memory = any(trial.peak_mb for trial in trials)
    for name in dict.fromkeys(trial.row for trial in trials):
        members = [trial for trial in trials if trial.row == name]
        counts = Counter(trial.outcome for trial in members)
        happened = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
        row = [name, f"{len(members):,}", happened, f"{sum(trial.lost for trial in members):,}"]
        row.append(f"{sum(trial.silent for trial in members):,}")
        if measures_memory:
            row.append(f"{max(trial.peak_mb for trial in members):.0f}")
        rows.append(row)
    head = (*_HEAD, "MB") if measures_memory else _HEAD
    tests = f" In the suite: {', '.join(f'`{test}`' for test in part.tests)}." if part.tests else ""
    lines = [
        f"## {part.title}",
        "",
        f"{part.note}{tests}",
        "",
        *_table(head, rows),
        "",
        f"Measured on {machine()}.",
        "",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = (" | ".join(cell.replace("|", "/") for cell in row) for row in rows)
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(f"| {line} |" for line in cells)]
