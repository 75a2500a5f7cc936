"""Progress of a run on rank 0: metrics of each step, throughput, and evaluations between steps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from avf_shards.cli.logging_setup import show_progress

from avf_training.models.flops import PeakFlops
from avf_training.trainer.metrics_writer import EVALUATION, THROUGHPUT, MetricsWriter
from avf_training.trainer.tensorboard import TensorBoardLogger


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Cost of one optimizer step over all ranks."""

    clips: int  # clips of the whole batch
    flops: float  # floating-point operations, forward and backward
    peak: PeakFlops  # of a single device
    devices: int  # number of ranks, one device each
    noun: str = "clip"  # what a batch is of

    def describe(self, model: str) -> str:
        """Return a sentence that says what the utilization (MFU) is computed from."""
        return (
            f"{model}: {self.flops / self.clips / 1e9:.2f} GFLOP a {self.noun} (3 forward passes); MFU is of "
            f"{self.peak.flops_per_s / 1e12:.3g} TFLOP/s ({self.peak.source}) x {self.devices}"
        )


EvalCallback = Callable[[int], tuple[dict[str, float], Path | None]]
"""Evaluate the model at a step; return the scores by name and, on rank 0, the figure that was drawn."""


class ProgressReporter:
    """Reports metrics, throughput and evaluations of a run.

    Rank 0 has a metrics writer and a TensorBoard logger; the other ranks have None for both, and only take part in the
    evaluation, which every rank calls each `eval_every` steps (0: never).
    """

    def __init__(
        self,
        metrics: MetricsWriter | None,
        board: TensorBoardLogger | None,
        cost: StepCost,
        *,
        log_every: int,
        evaluate: EvalCallback,
        eval_every: int,
    ) -> None:
        self._metrics, self._board, self._cost = metrics, board, cost
        self._log_every, self._evaluate, self._eval_every = log_every, evaluate, eval_every
        self._steps, self._waited_s, self._computed_s, self._since_s = 0, 0.0, 0.0, perf_counter()

    def step(self, step: int, values: dict[str, Any], waited_s: float, computed_s: float) -> None:
        """Record a finished step, with the seconds it waited for data and the seconds it computed."""
        self._steps, self._waited_s = self._steps + 1, self._waited_s + waited_s
        self._computed_s += computed_s
        row = {"step": step, **values}
        if self._metrics is not None:
            self._metrics.write(row)
            self._metrics.show_step(step + 1)
        if self._board is not None:
            self._board.scalars(step, "train", values)
        if (step + 1) % self._log_every == 0:
            self._report_throughput(row)
        if self._eval_every and (step + 1) % self._eval_every == 0:
            self._report_evaluation(step)

    def _report_throughput(self, row: dict[str, Any]) -> None:
        """Write and print the throughput since the last report, then start to count anew."""
        elapsed_s = perf_counter() - self._since_s
        cost, steps_per_s = self._cost, self._steps / elapsed_s
        flops_per_s = cost.flops * steps_per_s / cost.devices
        throughput = {
            "clips_per_s": cost.clips * steps_per_s,
            "step_s": 1 / steps_per_s,
            "waited_share": self._waited_s / elapsed_s,
            "computed_share": self._computed_s / elapsed_s,
            "teraflops_per_device": flops_per_s / 1e12,
            "mfu": flops_per_s / cost.peak.flops_per_s,
        }
        if torch.cuda.is_available():  # the largest allocation since the start, not of this interval
            throughput["gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        if self._metrics is not None:
            self._metrics.write({"step": row["step"], **throughput}, THROUGHPUT)
            self._metrics.show(row, throughput, f"{cost.noun}s")
        if self._board is not None:
            self._board.scalars(row["step"], "throughput", throughput)
        self._steps, self._waited_s, self._computed_s, self._since_s = 0, 0.0, 0.0, perf_counter()

    def _report_evaluation(self, step: int) -> None:
        begin_s = perf_counter()
        if self._metrics is not None:
            self._metrics.show_step(step + 1, "validating")
        scores, figure = self._evaluate(step)
        if self._metrics is not None and scores:
            self._metrics.write({"step": step, **scores}, EVALUATION)
            values = "  ".join(f"{name} {value:.3g}" for name, value in scores.items())
            self._metrics.say(f"step {step + 1}  validation: {values}")
            if scores.get("mse/mean image", 0) > 1:
                self._metrics.say(
                    "    it reconstructs worse than the training set's mean image does (mse/mean image above 1)"
                )
        if self._board is not None:
            self._board.scalars(step, "validation", scores)
            if figure is not None:
                self._board.image(step, "reconstruction", figure)
        self._since_s += perf_counter() - begin_s  # evaluation does not count as training time

    def close(self) -> None:
        """Flush and close the TensorBoard logger, and remove the line that shows progress."""
        show_progress("")
        if self._board is not None:
            self._board.close()
