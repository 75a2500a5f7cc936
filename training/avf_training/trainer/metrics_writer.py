"""The writer of a run's metrics: JSON lines for steps, throughput and evaluations, in a file each; a console line."""

import json
import math
import time
from pathlib import Path
from typing import Any, TextIO

from avf_shards.cli.logging_setup import print_message, show_progress
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import SCHEMA_VERSION, FileKind, parse_json, stamp
from avf_shards.system import durable_io
from avf_shards.system.named_writes import append_text

METRICS, THROUGHPUT, EVALUATION = "metrics.jsonl", "throughput.jsonl", "evaluation.jsonl"
_KINDS: dict[str, FileKind] = {METRICS: "step metrics", THROUGHPUT: "throughput", EVALUATION: "evaluation scores"}


class MetricsWriter:
    """Appends rows to the metric files of a run.

    Rows from `step` on are removed: they belong to steps that this start of the run repeats.
    """

    def __init__(self, run: Path, step: int, steps: int, out: TextIO | None = None) -> None:
        self._run, self._steps, self._out = run, steps, out
        self._start_s, self._start = time.perf_counter(), step
        for name in (METRICS, THROUGHPUT, EVALUATION):
            # Writing the rows back also removes a last line that a kill cut short.
            earlier = [row for row in read_lines(run / name) if row["step"] < step]
            durable_io.replace_file(run / name, "".join(_to_line(row, name) for row in earlier).encode())

    def write(self, values: dict[str, Any], name: str = METRICS) -> None:
        """Append one row to the file `name`."""
        with append_text(self._run / name) as file:
            file.write(_to_line(values, name))

    def show(self, values: dict[str, Any], speed: dict[str, Any], items: str = "clips") -> None:
        """Print a row with the remaining time, and the throughput below: each line fits a terminal of 80 columns.

        items: what a batch is of.
        """
        step = values["step"] + 1
        steps_run = max(1, step - self._start)
        remaining_s = (time.perf_counter() - self._start_s) / steps_run * (self._steps - step)
        names = [name for name in values if name not in ("step", "lr", "grad_norm", "skipped")]
        parts = "  ".join(f"{name} {values[name]:.3g}" for name in names)
        self.say(f"step {step}/{self._steps}  {parts}  {_duration(remaining_s)} left")
        self.say(
            f"    {speed['clips_per_s']:.1f} {items}/s  waited {speed['waited_share']:.0%}  MFU {speed['mfu']:.1%}  "
            f"lr {values['lr']:.2e}  grad {values['grad_norm']:.3g}"
        )

    def say(self, text: str) -> None:
        """Print a line of text."""
        if self._out is None:
            print_message(text)
        else:
            self._out.write(f"{text}\n")

    def begin(self, text: str) -> None:
        """Print the first line of a run, and show in a terminal that its workers start, which takes seconds."""
        self.say(text)
        self.show_step(self._start, "starting the workers")

    def show_step(self, step: int, doing: str = "") -> None:
        """Show in a terminal how many steps are done: reports of them may be many seconds apart.

        doing: what is done after them, before the next step.
        """
        if self._out is None:
            show_progress(f"step {step}/{self._steps}{doing and f', {doing}'}")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metric file, none where it is missing, without a last line that a kill cut short.

    Raises UserError for rows of a newer version, FaultError for a damaged line.
    """
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True) if path.is_file() else []
    rows = []
    for number, line in enumerate(lines, 1):
        if line.endswith("\n"):
            row = parse_json(line, _KINDS[path.name], f"{path}, line {number}")
            Fields(row, f"{path}, line {number}").integer("step")
            del row[SCHEMA_VERSION]
            rows.append(row)
    return rows


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _to_line(values: dict[str, Any], name: str) -> str:
    """Return a row of the file `name` as a line of JSON, with null for a number that is not finite.

    JSON has no word for such a number.
    """
    row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
    return json.dumps(stamp(row, _KINDS[name])) + "\n"
