"""A run in fp16 beside one in bf16 that makes the same updates: those that the scaler of the gradients skipped are left out.

The scaler starts at a scale of 65,536, at which gradients overflow, and halves it until they do not. Each such step
changes no weight, so that the losses after it are those of another run than one that skips nothing.
"""

from pathlib import Path
from typing import Any
from unittest import mock

import torch
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.trainer.metrics_writer import METRICS, read_lines

from benchmarks.gpu.nano_runs import failure_row, nano_recipe, read_losses
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings, precision_for

_UPDATES = 5  # after the first update that both make, over which the losses are compared
_TOLERANCE = 0.01  # relative, of a loss: fp16 beside bf16; 7e-4 on a CPU, where an update too few makes 0.2
_HALVINGS = 16  # from 65,536 to 1; a run that needs more does not overflow but is wrong


class _LeavingOut(torch.amp.GradScaler):
    """A scaler that leaves out the updates with some numbers."""

    def __init__(self, device: str, *, enabled: bool, left_out: frozenset[int]) -> None:
        super().__init__(device, enabled=enabled)
        self.left_out, self.number = left_out, -1

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        self.number += 1
        return None if self.number in self.left_out else super().step(optimizer, *args, **kwargs)


def scaler_row(settings: Settings, shards: Path, folder: Path) -> Row:
    """Compare the losses of a run in fp16 with those of a run in bf16 that leaves out the updates that were skipped."""
    fp16, bf16 = precision_for("fp16, decoders fp32", settings), precision_for("bf16", settings)
    label: Row = {"run": "fp16 with scaler, beside bf16 with the same updates"}
    out, beside = folder / "scaler-fp16", folder / "scaler-bf16"
    try:
        run_pretraining(
            nano_recipe(settings, precision=fp16), PretrainingData(shards=shards), out, device=settings.device
        )
        skipped = [row["step"] for row in read_lines(out / METRICS) if row["skipped"]]
        with leave_out(frozenset(skipped)):
            recipe = nano_recipe(settings, precision=bf16)
            run_pretraining(recipe, PretrainingData(shards=shards), beside, device=settings.device)
    except Exception as error:  # any end of a run is a result, and the other checks still count
        return failure_row(label, error)
    losses, exact = read_losses(out), read_losses(beside)
    compared = min(len(losses), len(skipped) + 1 + _UPDATES)
    gap = max(abs(losses[step] / exact[step] - 1) for step in range(compared))
    return {
        **label,
        "skipped updates": len(skipped),
        "skipped at most": _HALVINGS,
        "first loss": losses[0],
        "last loss": losses[-1],
        "compared losses": compared,
        "differ by": gap,
        "at most": _TOLERANCE,
        "whole run differs by": max(abs(a / b - 1) for a, b in zip(losses, exact, strict=True)),
        PASSED: gap <= _TOLERANCE and len(skipped) <= _HALVINGS and (losses[-1] < losses[0] or settings.tiny),
    }


def leave_out(numbers: frozenset[int]) -> Any:
    """Return a context in which runs leave out the updates with these numbers."""

    def make(device: str, *, enabled: bool) -> torch.amp.GradScaler:
        return _LeavingOut(device, enabled=enabled, left_out=numbers)

    return mock.patch.object(torch.amp, "GradScaler", make)
