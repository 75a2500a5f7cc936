"""The step of AVF-MAE++ B by the recipe of its authors' numbers and by `fast`: rate, and share of the peak by part."""

from collections.abc import Iterator

import torch
from avf_training.distributed.collectives import process_group
from avf_training.models.config import Precision
from avf_training.models.summary import single_precision_share

from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, recipe_for
from benchmarks.gpu.step_profile import profile_rows
from benchmarks.gpu.step_speed import PEAKS, Peaks, measure_peaks
from benchmarks.gpu.timing import time_steps
from benchmarks.gpu.training_step import TrainingStep

_RECIPES = ("avfmaepp_b", "fast")


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Time both recipes in turns at the authors' micro-batch, then profile a step of each."""
    with process_group(settings.device) as context:
        peaks = measure_peaks(settings)
        yield PEAKS, peaks.row()
        recipes = {name: recipe_for(name, settings) for name in _RECIPES}
        step = TrainingStep(recipes["fast"], context, settings.stored_px)  # they differ in their number types alone
        step.set_batch(recipes["fast"].micro_batch)
        for name in (*_RECIPES, *_RECIPES):
            yield "Recipes in turns", _row(step, name, recipes[name].precision, peaks, settings)
        for name, recipe in recipes.items():
            step.set_precision(recipe.precision)
            half, decoder = part_peaks(recipe.precision, peaks)
            yield from profile_rows(step, f"recipe {name}", settings, peak=half, decoder_peak=decoder)


def part_peaks(precision: Precision, peaks: Peaks) -> tuple[float, float]:
    """Return the measured FLOP/s of the type of the encoders and fusion, and of that of the decoders."""
    single = peaks.tf32 if precision.tf32 else peaks.fp32
    half = {"bf16": peaks.bf16, "fp16": peaks.fp16, "fp32": single}[precision.compute]
    return half, single if precision.fp32_decoder else half


def _row(step: TrainingStep, name: str, precision: Precision, peaks: Peaks, settings: Settings) -> Row:
    assert step.batch is not None
    on_cuda, clips = settings.device == "cuda", len(step.batch)
    step.set_precision(precision)
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    timing = time_steps(step.run, settings.device, seconds=0.1 if settings.tiny else 2)
    half, decoder = part_peaks(precision, peaks)
    share = single_precision_share(step.recipe.model_config(), precision)
    peak = 1 / ((1 - share) / half + share / (decoder if precision.fp32_decoder else half))
    flops_per_s = step.flops_per_clip * clips / timing.median_s
    return {
        "recipe": name,
        "compute": precision.compute,
        "decoders": ("TF32" if precision.tf32 else "fp32") if precision.fp32_decoder else precision.compute,
        "clips": clips,
        "step ms": 1000 * timing.median_s,
        "spread": timing.spread,
        "clips/s": clips / timing.median_s,
        "TFLOP/s": flops_per_s / 1e12,
        "share of operations in single precision": share,
        "peak of the mixture, TFLOP/s": peak / 1e12,
        "MFU of that peak": flops_per_s / peak,
        "peak GB": torch.cuda.max_memory_allocated() / 1e9 if on_cuda else None,
    }
