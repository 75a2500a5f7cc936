"""Tables as Markdown, and timing."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"


@dataclass(frozen=True)
class Section:
    """A heading, what was measured, and its rows; the first row is the header."""

    title: str
    note: str
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        head, *body = self.rows
        lines = [f"## {self.title}", "", self.note, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body), ""])


def cpu_s(work: Callable[[], object], repeat: int = 3) -> float:
    """Median CPU seconds of `work`, all threads of this process."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def wall_s(work: Callable[[], object], repeat: int = 3) -> float:
    """Median wall-clock seconds of `work`."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> str:
    """What the figures were measured on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}"
