"""Share of each part of a training step, and of each kind of kernel, by torch's profiler.

A kernel of the backward pass counts for the part whose operator made its autograd node: both carry one sequence number.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import numpy as np
import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.distributed.collectives import process_group
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import Masker, paper_masks
from avf_training.models.masks import Masks
from torch.autograd.profiler_util import EventList, FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.annotated_forward import PREFIX, annotate_modules, annotated_forward
from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, precision_for, recipe_for
from benchmarks.gpu.timing import matmul_flops, time_steps
from benchmarks.gpu.training_step import TrainingStep

MODELS = ("hicmae_b", "avfmaepp_b")
_OTHER = "the rest"
_KINDS = {
    "matrix products": ("gemm", "cutlass", "nvjet", "mm", "cublas"),
    "attention": ("flash", "fmha", "attention", "sdpa"),
    "AdamW": ("adam",),
    "norms": ("norm",),
    "copies, casts and indexing": ("copy", "index", "gather", "scatter", "cat", "memcpy", "memset", "fill"),
    "reductions": ("reduce", "softmax"),
    "elementwise": ("elementwise",),
}


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Profile a step of each model in bf16 at 160 clips."""
    with process_group(settings.device) as context:
        bf16 = matmul_flops(settings.device, torch.bfloat16, side=256 if settings.tiny else 8192)
        for name in MODELS[-1:] if settings.tiny else MODELS:
            recipe = recipe_for(name, settings)
            step = TrainingStep(recipe, context, settings.stored_px)
            step.set_batch(recipe.micro_batch if settings.tiny else 160)
            step.set_precision(precision_for("bf16", settings))
            yield from profile_rows(step, name, settings, peak=bf16, decoder_peak=bf16)


def profile_rows(
    step: TrainingStep, name: str, settings: Settings, *, peak: float, decoder_peak: float
) -> Iterator[tuple[str, Row]]:
    """Profile one step, and yield its tables under a name.

    Args:
        step: a step with its batch and its precision.
        name: in the titles.
        settings: of the call.
        peak: FLOP/s of a matrix product in the type that the model computes in.
        decoder_peak: in the type that the decoders compute in.
    """
    assert step.batch is not None
    wall_s = time_steps(step.run, settings.device, seconds=0.1 if settings.tiny else 1).median_s
    forward = step.train_step.forward
    with ExitStack() as hooks:
        annotate_modules(step.model, hooks)
        step.train_step.forward = annotated_forward(step.recipe)
        events = _profile(step, settings.device)
    step.train_step.forward = forward
    peaks = (peak, decoder_peak)
    yield from _tables(name, step.recipe, events, settings, clips=len(step.batch), wall_s=wall_s, peaks=peaks)


def _profile(step: TrainingStep, device: str) -> EventList:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as recorded, record_function("whole step"):
        step.run()
    events: EventList | None = recorded.events()
    assert events is not None
    return events


def _tables(
    name: str,
    recipe: PretrainRecipe,
    events: EventList,
    settings: Settings,
    *,
    clips: int,
    wall_s: float,
    peaks: tuple[float, float],
) -> Iterator[tuple[str, Row]]:
    on_cuda = settings.device == "cuda"
    own_events = [event for event in events if event.device_type == torch.autograd.DeviceType.CPU]
    times = _times_by_part(own_events, on_cuda)
    total_ms = sum(sum(pair) for pair in times.values())
    flops = _flops_by_part(recipe.model_config())
    for part, (forward_ms, backward_ms) in sorted(times.items(), key=lambda item: -sum(item[1])):
        part_ms = forward_ms + backward_ms
        peak = peaks[part.startswith("decoder")]
        rate = 3 * flops[part] * clips / part_ms * 1000 if part in flops and part_ms else None
        yield (
            f"Parts of a step of {name}, {clips} clips",
            {
                "part": part,
                "forward ms": forward_ms,
                "backward ms": backward_ms,
                "ms": part_ms,
                "share": part_ms / total_ms,
                "TFLOP/s": rate and rate / 1e12,
                "of the measured peak": rate and rate / peak,
            },
        )
    yield (
        f"Parts of a step of {name}, {clips} clips",
        {
            "part": "all",
            "ms": total_ms,
            "share": 1.0,
            "wall ms of a step without the profiler": 1000 * wall_s,
        },
    )
    for row in _kind_rows(events, total_ms, on_cuda):
        yield f"Kernels of a step of {name}, {clips} clips", row


def _times_by_part(events: Iterable[FunctionEvent], on_cuda: bool) -> dict[str, list[float]]:
    """Return the milliseconds of forward and of backward pass by part; kernels on a GPU, else operators."""
    part_of_sequence: dict[int, str] = {}
    times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    backward = []
    for event in events:
        part, node = _enclosing(event)
        if node is not None:
            backward.append((event, node))
            continue
        if event.sequence_nr >= 0 and part:
            part_of_sequence[event.sequence_nr] = part
        times[part or _OTHER][0] += _own_ms(event, on_cuda)
    for event, node in backward:
        times[part_of_sequence.get(node.sequence_nr, _OTHER)][1] += _own_ms(event, on_cuda)
    return {part: pair for part, pair in times.items() if sum(pair)}


def _enclosing(event: FunctionEvent) -> tuple[str | None, FunctionEvent | None]:
    """Return the innermost annotated part around an event, and the autograd node around it; None where there is none."""
    parent: FunctionEvent | None = event
    while parent is not None:
        if parent.name.startswith(PREFIX):
            return parent.name.removeprefix(PREFIX), None
        if parent.name.startswith("Optimizer.step"):
            return "optimizer", None
        if parent.name.startswith("autograd::engine::evaluate_function"):
            return None, parent
        parent = parent.cpu_parent
    return None, None


def _own_ms(event: FunctionEvent, on_cuda: bool) -> float:
    if not on_cuda:
        return float(event.self_cpu_time_total) / 1000
    # A range of the profiler also has a span on the GPU, of its own name, which covers the kernels inside.
    return float(sum(kernel.duration for kernel in event.kernels if kernel.name != event.name)) / 1000


def _flops_by_part(config: ModelConfig) -> dict[str, float]:
    """Return the FLOPs of one clip's forward pass by part, counted on the meta device."""
    masker = Masker(config, paper_masks(config))
    masks = Masks.stack([masker.sample(np.random.default_rng(0)) for _ in range(2)], "meta")
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        MaskedAutoencoder(config)(
            torch.zeros(2, *config.geometry.video_shape), torch.zeros(2, *config.geometry.audio_shape), masks
        )
    counts = counter.get_flop_counts()
    names = {key.rpartition(".")[2]: key for key in counts if key.count(".") == 1}
    return {name: sum(counts[key].values()) / 2 for name, key in names.items()}


def _kind_rows(events: EventList, total_ms: float, on_cuda: bool) -> Iterator[Row]:
    operators = {event.name for event in events if event.device_type == torch.autograd.DeviceType.CPU}
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in events:
        on_device = event.device_type == torch.autograd.DeviceType.CUDA
        if on_device != on_cuda or (on_cuda and event.name in operators):
            continue
        lowered = event.name.lower()
        kind = next((kind for kind, words in _KINDS.items() if any(word in lowered for word in words)), _OTHER)
        sums[kind][0] += event.self_device_time_total / 1000 if on_cuda else event.self_cpu_time_total / 1000
        sums[kind][1] += 1
    for kind, (milliseconds, launches) in sorted(sums.items(), key=lambda item: -item[1][0]):
        yield {"kind": kind, "ms": milliseconds, "share of the sum": milliseconds / total_ms, "launches": int(launches)}
