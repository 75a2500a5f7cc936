"""Time, throughput and memory of a training step, by model, precision and batch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from avf_training.distributed.collectives import process_group

from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, precision_for, recipe_for
from benchmarks.gpu.timing import copy_bytes_per_s, matmul_flops, time_steps
from benchmarks.gpu.training_step import TrainingStep

PEAKS = "Peaks measured in the same process"
_STEPS = "Training step"
_DOUBLINGS = 5
_TRIED_SHARE = 1.1  # of the memory of the card that a batch may be predicted to need; a batch too many only gets a note


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Measured rates of the device."""

    bf16: float  # FLOP/s
    fp16: float
    tf32: float
    fp32: float
    copy: float  # bytes per second, read and written

    def row(self) -> Row:
        """Return the row of the peaks."""
        return {
            "bf16 TFLOP/s": self.bf16 / 1e12,
            "fp16 TFLOP/s": self.fp16 / 1e12,
            "TF32 TFLOP/s": self.tf32 / 1e12,
            "fp32 TFLOP/s": self.fp32 / 1e12,
            "copy TB/s": self.copy / 1e12,
        }


def measure_peaks(settings: Settings) -> Peaks:
    """Measure the rates of the device."""
    side, device = (256 if settings.tiny else 8192), settings.device
    return Peaks(
        bf16=matmul_flops(device, torch.bfloat16, side=side),
        fp16=matmul_flops(device, torch.float16, side=side),
        tf32=matmul_flops(device, torch.float32, tf32=True, side=side),
        fp32=matmul_flops(device, torch.float32, side=side),
        copy=copy_bytes_per_s(device, 2**20 if settings.tiny else 2**31),
    )


def steps(model: str, settings: Settings, *, precisions: tuple[str, ...]) -> Iterator[tuple[str, Row]]:
    """Time the step in each precision at the recipe's batch of one GPU, then in bf16 with doubled batches."""
    recipe = recipe_for(model, settings)
    with process_group(settings.device) as context:
        peaks = measure_peaks(settings)
        yield PEAKS, peaks.row()
        step = TrainingStep(recipe, context, settings.stored_px)
        step.set_batch(recipe.micro_batch)
        peak_gb = 0.0
        for label in precisions[-1:] if settings.tiny else precisions:
            row = _timed_row(step, model, label, peaks, settings=settings)
            peak_gb = float(row["peak GB"] or 0) if label == "bf16" else peak_gb
            yield _STEPS, row
        clips = recipe.micro_batch
        for _ in range(0 if settings.tiny else _DOUBLINGS):
            clips, peak_gb = 2 * clips, 2 * peak_gb  # weights do not double, so this is more than will be needed
            if settings.device == "cuda" and peak_gb * 1e9 > _TRIED_SHARE * torch.cuda.mem_get_info()[1]:
                break
            step.set_batch(clips)
            row = _timed_row(step, model, "bf16", peaks, settings=settings)
            peak_gb = float(row["peak GB"] or 0)
            yield _STEPS, row
            if row["note"]:
                break


def _timed_row(
    step: TrainingStep, model: str, label: str, peaks: Peaks, *, settings: Settings, compiled: bool = False
) -> Row:
    """Return the row of one precision at the step's batch; a batch that does not fit gets a note in place of figures."""
    assert step.batch is not None
    on_cuda, clips = settings.device == "cuda", len(step.batch)
    step.set_precision(precision_for(label, settings))
    row: dict[str, str | float | int | bool | None] = {
        "model": model,
        "precision": label,
        "clips": clips,
        "compiled": compiled,
    }
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start_s = time.perf_counter()
    try:
        step.run()
        first_s = time.perf_counter() - start_s
        timing = time_steps(step.run, settings.device, seconds=0.2 if settings.tiny else 1.5)
    except torch.OutOfMemoryError:
        step.train_step.optimizer.zero_grad(set_to_none=True)
        return {**row, "note": "out of memory", "peak GB": None}
    flops_per_s = step.flops_per_clip * clips / timing.median_s
    return {
        **row,
        "step ms": 1000 * timing.median_s,
        "spread": timing.spread,
        "steps": timing.steps,
        "clips/s": clips / timing.median_s,
        "TFLOP/s": flops_per_s / 1e12,
        "MFU": flops_per_s / peaks.bf16,
        "peak GB": torch.cuda.max_memory_allocated() / 1e9 if on_cuda else None,
        "first step s": first_s,
        "note": "",
    }


def run_compiled(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Time the compiled step in bf16 beside the eager one, at the recipe's batch of one GPU."""
    with process_group(settings.device) as context:
        peaks = measure_peaks(settings)
        yield PEAKS, peaks.row()
        for model in ("avfmaepp_b",) if settings.tiny else ("avfmaepp_b", "hicmae_b"):
            recipe = recipe_for(model, settings)
            torch.compiler.reset()
            step = TrainingStep(replace(recipe, compile=False), context, settings.stored_px)
            step.set_batch(recipe.micro_batch)
            yield _STEPS, _timed_row(step, model, "bf16", peaks, settings=settings)
            # A dry run traces the model but generates no code, which takes minutes on a CPU.
            step.model.compile(backend="eager" if settings.tiny else "inductor")
            yield _STEPS, _timed_row(step, model, "bf16", peaks, settings=settings, compiled=True)


_ALL = ("fp32", "TF32", "bf16", "bf16, decoders TF32", "fp16, decoders fp32")
_FEW = ("fp32", "TF32", "bf16")
hicmae_t = partial(steps, "hicmae_t", precisions=_FEW)
hicmae_s = partial(steps, "hicmae_s", precisions=_FEW)
hicmae_b = partial(steps, "hicmae_b", precisions=_FEW)
avfmaepp_b = partial(steps, "avfmaepp_b", precisions=_ALL)
avfmaepp_l = partial(steps, "avfmaepp_l", precisions=("bf16",))
avfmaepp_h = partial(steps, "avfmaepp_h", precisions=("bf16",))
