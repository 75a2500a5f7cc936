"""What a run tells while it goes: JSON lines of every step and of its speed, and a line on the console."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from avf_shards import durable_io

METRICS, THROUGHPUT, EVALUATION = "metrics.jsonl", "throughput.jsonl", "evaluation.jsonl"


class MetricsWriter:
    """Lines of a run; those from `step` on belong to a part that is done again, and go."""

    def __init__(self, run: Path, step: int, steps: int, out: TextIO | None = None) -> None:
        self._run, self._steps, self._out = run, steps, out or sys.stderr
        self._start_s, self._start = time.perf_counter(), step
        for name in (METRICS, THROUGHPUT, EVALUATION):
            kept = [row for row in read_lines(run / name) if row["step"] < step]
            durable_io.replace_file(run / name, "".join(map(_line, kept)).encode())

    def write(self, values: dict[str, Any], name: str = METRICS) -> None:
        """Append one object."""
        with open(self._run / name, "a", encoding="utf-8") as file:
            file.write(_line(values))

    def show(self, values: dict[str, Any], speed: dict[str, Any]) -> None:
        """One line for people."""
        step = values["step"] + 1
        done = max(1, step - self._start)
        left_s = (time.perf_counter() - self._start_s) / done * (self._steps - step)
        names = [name for name in values if name not in ("step", "lr", "grad_norm", "skipped")]
        parts = "  ".join(f"{name} {values[name]:.4f}" for name in names)
        self.say(
            f"step {step}/{self._steps}  {parts}  lr {values['lr']:.2e}  grad {values['grad_norm']:.2f}  "
            f"{speed['clips_per_s']:.1f} clips/s  waited {speed['waited_share']:.0%}  MFU {speed['mfu']:.1%}  "
            f"{_duration(left_s)} left"
        )

    def say(self, text: str) -> None:
        """A line of text on the console."""
        self._out.write(f"{text}\n")
        self._out.flush()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; a last one that a kill cut short is left out."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _line(values: dict[str, Any]) -> str:
    """JSON has no word for what is not finite."""
    told = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
    return json.dumps(told) + "\n"
