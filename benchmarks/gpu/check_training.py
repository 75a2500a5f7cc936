"""Correctness of whole runs: data workers, resuming on another device, and repeated runs and evaluations."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.run_folder import MODEL
from torch import multiprocessing

from benchmarks.gpu.check_repeat import evaluation_row, repeat_rows
from benchmarks.gpu.check_scaler import scaler_row
from benchmarks.gpu.inputs import nano_shards
from benchmarks.gpu.nano_runs import TINY_STEPS, failure_row, nano_recipe, read_losses
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import PRECISIONS, Settings, precision_for

_RESUME_STEPS = 12  # a third on each device
_RESUME_TOLERANCE = 2e-3  # relative, of a step's loss: fp32 with other orders of summation, over a few updates
_COMPARED, _WORKER_TOLERANCE = 5, 0.05  # steps whose losses are compared between runs in bf16, and by how much


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Train nano on made-up clips in several ways, and compare the losses."""
    # Deterministic matrix products need it; cuBLAS reads it when the first run makes its handle.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = nano_shards(folder / "shards", 8 if settings.tiny else 24)
        for row in _worker_rows(settings, shards, folder):
            yield "Runs of nano with data workers", row
        yield "A run in fp16", scaler_row(settings, shards, folder)
        for row in _resume_rows(settings, shards, folder):
            yield "Resuming: CPU, device, CPU", row
        yield "Evaluation twice", evaluation_row(settings, shards)


def run_repeated(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Train nano twice in the same way."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = nano_shards(folder / "shards", 8 if settings.tiny else 24)
        for row in repeat_rows(settings, shards, folder):
            yield "The same run twice", row


def _worker_rows(settings: Settings, shards: Path, folder: Path) -> Iterator[Row]:
    """Run with data workers after CUDA is up. All runs in bf16 see the same batches, so their losses agree."""
    if settings.device == "cuda":
        torch.zeros(1, device="cuda")
    bf16 = precision_for("bf16", settings)
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        (method, f"bf16, {method}", {"precision": bf16}) for method in ("fork", "forkserver", "spawn")
    ]
    kinds += [("fork", "bf16, FSDP2 on one rank, fork", {"precision": bf16, "parallel": "fsdp"})]
    first: list[float] | None = None
    for number, (method, label, changes) in enumerate(kinds[1:2] if settings.tiny else kinds):
        multiprocessing.set_start_method(method, force=True)
        out, start_s = folder / f"workers-{number}", time.perf_counter()
        recipe = nano_recipe(settings, workers=2, **changes)
        try:
            reached = run_pretraining(recipe, PretrainingData(shards=shards), out, device=settings.device)
        except Exception as error:  # any end of a run is a result, and the other runs still count
            yield failure_row({"run": label}, error)
            continue
        losses = read_losses(out)
        first = first or losses
        gap = max(abs(losses[step] / first[step] - 1) for step in range(min(_COMPARED, len(losses))))
        begin, end = mean(losses[:_COMPARED]), mean(losses[-_COMPARED:])
        yield {
            "run": label,
            "steps": reached,
            "s": time.perf_counter() - start_s,
            f"mean loss of the first {_COMPARED}": begin,
            f"of the last {_COMPARED}": end,
            f"first {_COMPARED} losses differ from the first run's by": gap,
            "at most": _WORKER_TOLERANCE,
            PASSED: (end < begin or settings.tiny) and gap <= _WORKER_TOLERANCE,
        }
    multiprocessing.set_start_method("fork", force=True)


def _resume_rows(settings: Settings, shards: Path, folder: Path) -> Iterator[Row]:
    """Train on the CPU; train again from a third of its steps on the device, and from two thirds on the CPU.

    Another clip, crop or mask would move a loss by percents, so equal losses show that the order is the same.
    """
    steps = TINY_STEPS if settings.tiny else _RESUME_STEPS
    third = steps // 3
    # A long warm-up keeps updates small: AdamW turns rounding noise of a gradient near 0 into a full step.
    recipe = nano_recipe(
        settings, steps=steps, warmup_steps=10 * steps, checkpoint_every=third, precision=PRECISIONS["fp32"]
    )
    whole, mixed, data = folder / "resume-cpu", folder / "resume-mixed", PretrainingData(shards=shards)
    run_pretraining(recipe, data, whole)
    shutil.copytree(whole, mixed)
    run_pretraining(recipe, data, mixed, device=settings.device, from_step=third)
    _remove_model(mixed)
    run_pretraining(recipe, data, mixed, from_step=2 * third)
    positions = []
    for folder_of_run in (whole, mixed):
        saved = Checkpoints(folder_of_run, 10, 0).newest()
        assert saved is not None
        positions.append({name: saved.state["stream"][name] for name in ("digest", "epoch", "position")})
    for step, (loss, wanted) in enumerate(zip(read_losses(mixed), read_losses(whole), strict=True)):
        gap = abs(loss / wanted - 1)
        yield {
            "step": step,
            "trained on": settings.device if third <= step < 2 * third else "cpu",
            "loss": loss,
            "loss of the run on the CPU": wanted,
            "relative difference": gap,
            "at most": _RESUME_TOLERANCE,
            "same position in the same order at the end": positions[0] == positions[1],
            PASSED: gap <= _RESUME_TOLERANCE and positions[0] == positions[1],
        }


def _remove_model(run_folder: Path) -> None:
    if (run_folder / MODEL).exists():
        shutil.rmtree(run_folder / MODEL)
