"""Watching a run: its metrics, its speed, and now and then what it makes of clips."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from avf_training.models.flops import PeakFlops
from avf_training.trainer.metrics import EVALUATION, THROUGHPUT, MetricsWriter
from avf_training.trainer.tensorboard import TensorBoardLogger


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Of one step of all processes. clips, flops: computed; peak: of one of `devices`."""

    clips: int
    flops: float
    peak: PeakFlops
    devices: int

    def sentence(self, model: str) -> str:
        """What utilisation is counted from."""
        return (
            f"{model}: {self.flops / self.clips / 1e9:.2f} GFLOP a clip (3 forward passes); MFU is of "
            f"{self.peak.flops_per_s / 1e12:.3g} TFLOP/s ({self.peak.source}) x {self.devices}"
        )


Look = Callable[[int], tuple[dict[str, float], Path | None]]


class ProgressReporter:
    """What rank 0 tells. look: called by all ranks each look_every steps; scores and a picture for the boards."""

    def __init__(
        self,
        metrics: MetricsWriter | None,
        board: TensorBoardLogger | None,
        work: StepCost,
        *,
        log_every: int,
        look: Look,
        look_every: int,
    ) -> None:
        self._metrics, self._board, self._work = metrics, board, work
        self._log_every, self._look, self._look_every = log_every, look, look_every
        self._steps, self._waited_s, self._computed_s, self._since_s = 0, 0.0, 0.0, perf_counter()

    def step(self, step: int, values: dict[str, Any], waited_s: float, computed_s: float) -> None:
        """After each step: what it was, and how long data and model took."""
        self._steps, self._waited_s = self._steps + 1, self._waited_s + waited_s
        self._computed_s += computed_s
        row = {"step": step, **values}
        if self._metrics is not None:
            self._metrics.write(row)
        if self._board is not None:
            self._board.scalars(step, "train", values)
        if (step + 1) % self._log_every == 0:
            self._tell_speed(row)
        if self._look_every and (step + 1) % self._look_every == 0:
            self._look_now(step)

    def _tell_speed(self, row: dict[str, Any]) -> None:
        spent_s = perf_counter() - self._since_s
        work, per_s = self._work, self._steps / spent_s
        achieved = work.flops * per_s / work.devices
        speed = {
            "clips_per_s": work.clips * per_s,
            "step_s": 1 / per_s,
            "waited_share": self._waited_s / spent_s,
            "computed_share": self._computed_s / spent_s,
            "teraflops_per_device": achieved / 1e12,
            "mfu": achieved / work.peak.flops_per_s,
        }
        if torch.cuda.is_available():
            speed["gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        if self._metrics is not None:
            self._metrics.write({"step": row["step"], **speed}, THROUGHPUT)
            self._metrics.show(row, speed)
        if self._board is not None:
            self._board.scalars(row["step"], "speed", speed)
        self._steps, self._waited_s, self._computed_s, self._since_s = 0, 0.0, 0.0, perf_counter()

    def _look_now(self, step: int) -> None:
        begun_s = perf_counter()
        scores, path = self._look(step)
        if self._metrics is not None and scores:
            self._metrics.write({"step": step, **scores}, EVALUATION)
            self._metrics.say(f"step {step + 1}  held out: " + "  ".join(f"{k} {v:.3g}" for k, v in scores.items()))
        if self._board is not None:
            self._board.scalars(step, "held out", scores)
            if path is not None:
                self._board.image(step, "reconstruction", path)
        self._since_s += perf_counter() - begun_s  # looking is no part of training's speed

    def close(self) -> None:
        """Write what is left."""
        if self._board is not None:
            self._board.close()
