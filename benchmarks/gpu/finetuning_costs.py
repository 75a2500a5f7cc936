"""Cost of options of fine-tuning beside the recipe: time and memory of a step, each as a ratio within one process."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.finetuning_sampler import FinetuningBatch, FinetuningSampler, finetuning_input
from avf_training.distributed.collectives import process_group
from avf_training.finetuning.finetune import StageLengths, make_finetuning_step
from avf_training.finetuning.losses import output_spec
from avf_training.models.batch_norm import UnitBatchNorm, defer_running_statistics
from avf_training.models.classifier import Classifier
from avf_training.models.drop_path import DropPath
from avf_training.models.low_rank import add_adapters
from avf_training.models.low_rank_config import LoraConfig
from avf_training.models.precision import set_numerics
from avf_training.tasks.task import Task
from torch import Tensor

from benchmarks.gpu.inputs import clip_keys, labelled_task, random_labelled_batch
from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import time_steps

_MODEL, _RANK, _GROUP = "avfmaepp_b", 8, 8
_LENGTHS = StageLengths(clips=1000, steps=10_000, per_epoch=100, warmup=10)
_TURNS = 12  # of the recipe's step and that of an option
_LARGE = 4  # times the recipe's micro-batch, where the arithmetic fills more of a large card


@dataclass(frozen=True, kw_only=True)
class _Option:
    """An option, by the recipe's settings that it changes and by what it does to the recipe's model."""

    name: str
    settings: Mapping[str, Any]  # fields of the recipe
    change: Callable[[Classifier], object]  # of a copy of the recipe's model


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A step that has been measured alone."""

    run: Callable[[], object]
    peak_gb: float | None  # with weights, moments and the batch; None on a CPU
    trained: int  # parameters


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Measure each option beside the recipe, at the recipe's micro-batch and at a larger one."""
    recipe = _recipe(settings)
    with process_group(settings.device):
        set_numerics(recipe.threads, recipe.precision)
        for times in (1,) if settings.tiny else (1, _LARGE):
            micro = times * recipe.micro_batch
            sized = replace(recipe, micro_batch=micro, batch=max(recipe.batch, micro // recipe.repeats))
            title = f"A fine-tuning step of {sized.model}: {sized.samples} samples in micro-batches of {micro}"
            for row in _rows(sized, settings):
                yield title, row


def _recipe(settings: Settings) -> FinetuneRecipe:
    if settings.tiny:
        return load_finetune_recipe("finetune", "nano", ["batch=4", "micro_batch=4", "drop_path=0.1"])
    return load_finetune_recipe("finetune", _MODEL)


def _options(recipe: FinetuneRecipe) -> tuple[_Option, ...]:
    lora = LoraConfig(rank=_RANK)
    return (
        _Option(name="the recipe again", settings={}, change=lambda model: None),
        _Option(name="without drop path", settings={}, change=_remove_drop_path),
        _Option(name="torch's batch norm, statistics of each rank", settings={}, change=_use_plain_batch_norm),
        _Option(
            name=f"batch norm in groups of {min(_GROUP, recipe.micro_batch // 2)}",
            settings={},
            change=lambda model: defer_running_statistics(model, min(_GROUP, recipe.micro_batch // 2)),
        ),
        _Option(name="moving average of the weights", settings={"average_decay": 0.999}, change=lambda model: None),
        _Option(name=f"LoRA of rank {_RANK}", settings={}, change=lambda model: add_adapters(model, lora, ())),
        _Option(
            name="activations computed again",
            settings={"activation_checkpointing": True},
            change=lambda model: model.checkpoint_activations(),
        ),
    )


def _rows(recipe: FinetuneRecipe, settings: Settings) -> Iterator[Row]:
    device = settings.device
    task = labelled_task(clip_keys(recipe.micro_batch), test=0)
    torch.manual_seed(recipe.seed)
    model = Classifier(recipe.model_config(), task.outputs, recipe.drop_path, output_spec(recipe, task))
    model.to(device).train()
    defer_running_statistics(model, recipe.micro_batch)
    sampler = FinetuningSampler(geometry=model.config.geometry, augment=recipe.augment, mix=recipe.mixing(task.data))
    before = _allocated(device)
    batch = random_labelled_batch(sampler, clip_keys(recipe.micro_batch), settings.stored_px, device)
    batch_gb = (_allocated(device) - before) / 1e9
    seconds = 0.1 if settings.tiny else 1.0

    def measure(option: _Option | None) -> _Measured:
        gc.collect()
        start = _allocated(device)
        changed = deepcopy(model)
        if option is not None:
            option.change(changed)
        return _measure(
            replace(recipe, **(option.settings if option else {})),
            task,
            changed,
            batch,
            sampler=sampler,
            others_gb=start / 1e9 - batch_gb,
        )

    base = measure(None)
    step_s = time_steps(base.run, device, seconds=seconds).median_s
    input_s = time_steps(lambda: finetuning_input(batch, sampler), device, seconds=seconds / 4).median_s
    input_s *= recipe.samples // recipe.micro_batch
    yield {
        "step": "the recipe",
        "step ms": 1000 * step_s,
        "of it input ms": 1000 * input_s,
        "trained parameters": base.trained,
        "peak GB": base.peak_gb,
    }
    for option in _options(recipe):
        changed = measure(option)
        base_s, changed_s = _take_turns(base.run, changed.run, settings)
        yield {
            "step": option.name,
            "step ms": 1000 * changed_s,
            "beside the recipe's ms": 1000 * base_s,
            "ratio of times": changed_s / base_s,
            "trained parameters": changed.trained,
            "peak GB": changed.peak_gb,
            "ratio of peaks": None if changed.peak_gb is None or not base.peak_gb else changed.peak_gb / base.peak_gb,
        }
        del changed


def _measure(
    recipe: FinetuneRecipe,
    task: Task,
    model: Classifier,
    batch: FinetuningBatch,
    *,
    sampler: FinetuningSampler,
    others_gb: float,
) -> _Measured:
    """Run a few steps of a model, and return its step with the memory it needs.

    others_gb: memory of other models that is taken already.
    """
    train_step = make_finetuning_step(recipe, task, model, model, sampler=sampler, lengths=_LENGTHS)
    micro_batches = [batch] * (recipe.samples // recipe.micro_batch)
    on_cuda = batch.planes_RTQW.is_cuda
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):  # gradients and moments exist from the second step on
        train_step.run(20, micro_batches)
    return _Measured(
        run=lambda: train_step.run(20, micro_batches),
        peak_gb=torch.cuda.max_memory_allocated() / 1e9 - others_gb if on_cuda else None,
        trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    )


def _take_turns(base: Callable[[], object], changed: Callable[[], object], settings: Settings) -> tuple[float, float]:
    """Return the median seconds of both steps, which take turns, so that a host that slows down affects both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(2 if settings.tiny else _TURNS):
        for work, seconds in zip((base, changed), times, strict=True):
            start_s = time.perf_counter()
            work()  # its result is read, so that it has ended
            seconds.append(time.perf_counter() - start_s)
    return statistics.median(times[0]), statistics.median(times[1])


def _allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def _remove_drop_path(model: Classifier) -> None:
    for module in model.modules():
        if isinstance(module, DropPath):
            module.rate = 0.0


def _use_plain_batch_norm(model: Classifier) -> None:
    """Normalize a micro-batch by its moments, and move the statistics in the same call, as torch's layer does."""
    for module in model.modules():
        if isinstance(module, UnitBatchNorm):
            module.deferred = False
            module.forward = _PlainBatchNorm(module)  # type: ignore[method-assign]  # of this copy alone


class _PlainBatchNorm:
    """The forward pass of torch's batch norm with the weights of a layer, and statistics of its own."""

    def __init__(self, layer: UnitBatchNorm) -> None:
        self.layer = layer
        self.mean_C, self.var_C = torch.zeros_like(layer.weight.detach()), torch.ones_like(layer.weight.detach())

    def __call__(self, x_BCO: Tensor, unit: int = 0) -> Tensor:
        layer = self.layer
        return F.batch_norm(x_BCO, self.mean_C, self.var_C, layer.weight, layer.bias, True, 0.1, layer.eps)
