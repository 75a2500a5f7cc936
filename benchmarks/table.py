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


def medians(works: Sequence[Callable[[], object]], clock: Callable[[], float], rounds: int = 7) -> list[float]:
    """Median seconds on `clock` of each work; each round runs all in turn, so that noise falls on all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, mine in zip(works, times, strict=True):
            start = clock()
            work()
            mine.append(clock() - start)
    return [statistics.median(mine) for mine in times]


def machine() -> str:
    """What the figures were measured on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}"
