"""Cost of a recipe on a machine: steps, clips, hours and memory, from a few measured steps of the run itself."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.distributed.collectives import process_group
from avf_training.models.flops import peak_flops, training_flops
from avf_training.models.precision import set_numerics
from avf_training.models.summary import training_bytes
from avf_training.pretraining.pretrain import PretrainingData, make_train_step
from avf_training.pretraining.step import make_loader
from avf_training.trainer.stream_run import run_lengths
from avf_training.trainer.train_step import TrainStep

_WARMUP_STEPS = 2  # steps before the clock starts: memory is allocated and kernels are chosen in them


@dataclass(frozen=True, kw_only=True)
class PaperTime:
    """A training time that a paper prints."""

    hours: float  # wall-clock hours of the whole training
    machine: str  # number and kind of GPUs
    source: str  # the paper and its table


# 85.87 h is 1.09 times the hours of 100 epochs of VoxCeleb2-dev there, so it is hardly of the 200 epochs of Table 5.
_TABLE_24 = "AVF-MAE++ Table 24: pre-training on the unlabelled hybrid; the epochs are not printed"
PAPER_TIMES: Mapping[str, PaperTime] = {
    "hicmae_b": PaperTime(
        hours=115.45,
        machine="8 x RTX A6000",
        source="AVF-MAE++ Tables 20, 24: pre-training on VoxCeleb2-dev, 100 epochs",
    ),
    "avfmaepp_b": PaperTime(hours=85.87, machine="8 x RTX A6000", source=_TABLE_24),
    "avfmaepp_l": PaperTime(hours=88.58, machine="8 x RTX A6000", source=_TABLE_24),
    "avfmaepp_h": PaperTime(hours=93.52, machine="8 x RTX A6000", source=_TABLE_24),
}


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """Cost of a whole run, extrapolated from the measured steps."""

    model: str  # name of the preset
    clips: int  # of one epoch
    epochs: float  # passes over the shards
    steps: int  # optimizer steps of the whole run
    warmup_steps: int  # steps of the learning rate's warm-up
    batch: int  # clips of one step of all devices
    micro_batch: int  # clips of one device at once
    devices: int  # devices that the whole run is planned for
    device: str  # name of the device that was measured on
    measured_batch: int  # clips of a measured step, on one device
    step_s: float  # of a measured step, without waiting for data
    waited_share: float  # of the measured time, with the recipe's data workers
    clips_per_s: float  # clips of one device in a second, without waiting for data
    teraflops: float  # achieved TFLOP/s
    mfu: float  # achieved over peak FLOP/s
    peak_source: str  # where the peak comes from
    hours: float  # on `devices` like the measured one, if no step waits for data
    memory_bytes: int  # of one device at the recipe's micro-batch, computed
    peak_bytes: int | None  # measured on a GPU, None on a CPU
    paper: PaperTime | None  # time that the paper prints for this model; None where it prints none


def estimate_training_cost(
    recipe: PretrainRecipe,
    data: PretrainingData,
    devices: int,
    *,
    measured_batch: int,
    measured_steps: int,
    device: str,
) -> TrainingCost:
    """Measure `measured_steps` steps of `measured_batch` clips on this device, and return the cost of the whole run.

    Raises UserError, FaultError.
    """
    recipe.accumulation(devices)  # refuses a number of devices that does not divide the batch
    # A CPU computes fp16 slowly, which says nothing about a GPU; so it is measured in fp32.
    precision = replace(recipe.precision, compute="fp32") if device == "cpu" else recipe.precision
    short = replace(
        recipe,
        batch=measured_batch,
        micro_batch=measured_batch,
        batch_norm_clips=None,
        contrastive=replace(recipe.contrastive, clips=None),
        parallel="ddp",
        precision=precision,
    )
    with process_group(device) as context, tempfile.TemporaryDirectory(prefix="avf-plan-") as folder:
        set_numerics(short.threads, short.precision)
        loader = make_loader(short, data.shards, data.storage, context, Path(folder))
        clips = len(loader.stream.order)
        steps, warmup = run_lengths(recipe, clips)
        model, _, train_step = make_train_step(short, context, steps, warmup)
        batches = iter(loader)
        for step in range(_WARMUP_STEPS):
            train_step.run(step, [next(batches)])
        spent_s, waited_s = _time_steps(train_step, batches, measured_steps)
        # Data workers can be added, so hours are projected from computing alone; the wait is reported beside them.
        computed_s = (spent_s - waited_s) / measured_steps
        peak = peak_flops(context.device, precision, model.config)
        clips_per_s = measured_batch / computed_s
        flops_per_s = training_flops(model.config) * clips_per_s
        on_gpu = context.device.type == "cuda"
        return TrainingCost(
            model=recipe.model,
            clips=clips,
            epochs=steps * recipe.batch / clips,
            steps=steps,
            warmup_steps=warmup,
            batch=recipe.batch,
            micro_batch=recipe.micro_batch,
            devices=devices,
            device=torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads",
            measured_batch=measured_batch,
            step_s=computed_s,
            waited_share=waited_s / spent_s,
            clips_per_s=clips_per_s,
            teraflops=flops_per_s / 1e12,
            mfu=flops_per_s / peak.flops_per_s,
            peak_source=peak.source,
            hours=steps * recipe.batch / clips_per_s / devices / 3600,
            memory_bytes=_device_bytes(recipe),
            peak_bytes=torch.cuda.max_memory_allocated() if on_gpu else None,
            paper=PAPER_TIMES.get(recipe.model),
        )


def _device_bytes(recipe: PretrainRecipe) -> int:
    """Return the computed memory of one device at the recipe's micro-batch, in bytes."""
    return training_bytes(
        recipe.model_config(), recipe.masks, recipe.micro_batch, recipe.precision, recipe.activation_checkpointing
    )


def _time_steps(
    train_step: TrainStep[PretrainingBatch], batches: Iterator[PretrainingBatch], count: int
) -> tuple[float, float]:
    """Run `count` steps after the warm-up; return the seconds that they took, and how many of these
    were spent waiting for data.
    """
    waited_s, start_s = 0.0, time.perf_counter()
    for step in range(_WARMUP_STEPS, _WARMUP_STEPS + count):
        fetch_s = time.perf_counter()
        micro_batches = list(islice(batches, 1))
        waited_s += time.perf_counter() - fetch_s
        train_step.run(step, micro_batches)
    return time.perf_counter() - start_s, waited_s
