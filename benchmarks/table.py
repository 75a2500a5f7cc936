"""Markdown tables of measurements, and functions that measure time."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"


@dataclass(frozen=True)
class Section:
    """A section of docs/benchmarks.md: a heading, a note and a table."""

    title: str
    note: str  # what was measured, and how
    rows: Sequence[Sequence[str]]  # the first row is the header of the table

    def markdown(self) -> str:
        """Return the section as Markdown text."""
        head, *body = self.rows
        lines = [f"## {self.title}", "", self.note, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body), ""])


def cpu_s(work: Callable[[], object], repeat: int = 3) -> float:
    """Return the median CPU seconds of a call of `work`, over all threads of this process."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def medians(works: Sequence[Callable[[], object]], clock: Callable[[], float], rounds: int = 7) -> list[float]:
    """Return the median seconds of each function by `clock`. Each round calls all in turn, so that noise affects all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, seconds in zip(works, times, strict=True):
            start = clock()
            work()
            seconds.append(clock() - start)
    return [statistics.median(seconds) for seconds in times]


def machine() -> str:
    """Return the number of cores and the processor that the figures are measured on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}"
