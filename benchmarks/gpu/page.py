"""docs/gpu.md from the JSON files of the parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS, Group
from benchmarks.gpu.results import DRY_RUN, PASSED, Row, Value, failed_checks, read_result

_HEAD = """# Training on a GPU

Filled by `python -m benchmarks.gpu`, which checks training on a GPU against the CPU and then measures it. No test is timed. A part
without a result says that it was not measured; `--tiny --device cpu` runs all parts on a CPU, for a test, and its figures mean nothing.
Parts of the first group may run beside each other on one card: they check, and their seconds compare nothing.
"""
_TITLES: Mapping[Group, str] = {"correctness": "Correctness", "speed": "Speed"}


def write_page(path: Path, results: Path) -> None:
    """Write the page of the results in a folder."""
    blocks = [_HEAD]
    for group, title in _TITLES.items():
        blocks.append(f"## {title}\n")
        for part in PARTS:
            if part.group == group:
                blocks.append(_section(part.name, part.note, read_result(results, part.name)))
    path.write_text("\n".join(blocks), "utf-8")


def _section(name: str, note: str, result: Mapping[str, Any] | None) -> str:
    lines = [f"### {name.replace('_', ' ')}", ""]
    if result is None:
        return "\n".join([*lines, "Not measured.", ""])
    lines += [note, ""]
    if result["device"][DRY_RUN]:
        lines += ["A dry run: the models are tiny, all products are in fp32, and the figures mean nothing.", ""]
    for title, rows in result["tables"].items():
        lines += [f"**{title}**", "", *table_lines(rows), ""]
    failed = len(failed_checks(result))
    if any(PASSED in row for rows in result["tables"].values() for row in rows):
        lines += [f"{failed} checks failed." if failed else "All checks passed.", ""]
    if remark := result.get("remark"):  # written into the file by hand, where a reader would ask
        lines += [str(remark), ""]
    if not result["finished"]:
        lines += ["The part was stopped before its end; what it had measured is above.", ""]
    lines += [f"Measured in {result['seconds']:.0f} s on {_device_text(result['device'])}.", ""]
    return "\n".join(lines)


def table_lines(rows: Sequence[Row]) -> list[str]:
    """Return a Markdown table whose columns are all titles of the rows, in the order in which they first appear."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    titles = [title for title in titles if any(row.get(title) not in (None, "") for row in rows)]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(_cell(row.get(title)) for title in titles) + " |" for row in rows)]


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value and not 1e-2 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _device_text(device: Mapping[str, Value]) -> str:
    names = ("card", "memory GiB", "driver", "torch", "CUDA", "python", "processor", "SM clock now", "power limit")
    return ", ".join(f"{name} {device[name]}" for name in names if name in device)
