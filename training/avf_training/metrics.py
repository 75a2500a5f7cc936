"""What a run tells while it goes: one JSON object a line in metrics.jsonl, and a line on the console."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from avf_shards import seam

METRICS = "metrics.jsonl"


class Metrics:
    """Lines of a run; those after `step` belong to a part that is done again, and go."""

    def __init__(self, run: Path, step: int, steps: int, out: TextIO = sys.stderr) -> None:
        self._path, self._steps, self._out = run / METRICS, steps, out
        self._start_s, self._start = time.perf_counter(), step
        lines = self._path.read_text("utf-8").splitlines(keepends=True) if self._path.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < step]
        seam.replace_file(self._path, "".join(kept).encode())

    def write(self, values: dict[str, Any]) -> None:
        """Append one step's object."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({name: _for_json(value) for name, value in values.items()}) + "\n")

    def show(self, values: dict[str, Any], clips_per_s: float, wait_share: float) -> None:
        """One line for people."""
        step = values["step"] + 1
        done = max(1, step - self._start)
        left_s = (time.perf_counter() - self._start_s) / done * (self._steps - step)
        names = [name for name in values if name not in ("step", "lr", "grad_norm", "skipped")]
        parts = "  ".join(f"{name} {values[name]:.4f}" for name in names)
        self._out.write(
            f"step {step}/{self._steps}  {parts}  lr {values['lr']:.2e}  grad {values['grad_norm']:.2f}  "
            f"{clips_per_s:.1f} clips/s  waited {wait_share:.0%}  {left_s / 60:.1f} min left\n"
        )
        self._out.flush()


def _for_json(value: Any) -> Any:
    """JSON has no word for what is not finite."""
    return value if not isinstance(value, float) or math.isfinite(value) else None
