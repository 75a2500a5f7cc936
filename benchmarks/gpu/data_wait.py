"""Share of a run's time that waits for data, with the stream from shards on disk; and the loader alone."""

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import process_group
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.pretraining.step import make_loader
from avf_training.trainer.metrics_writer import THROUGHPUT, read_lines
from torch import multiprocessing

from benchmarks.gpu.inputs import nano_shards
from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, precision_for, recipe_for
from benchmarks.talkers import encode_stored_clip, write_shards

_DIFFERENT, _CLIPS = 32, 512  # different clips, and clips in the shard
_STEPS, _WARMUP = 24, 8
_RUNS = (("avfmaepp_b", 164), ("avfmaepp_b", 656), ("hicmae_b", 640))


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Measure the loader alone, then runs of the trainer at the paper's batch and at batches that fill a large card."""
    cores = os.cpu_count() or 1
    workers = 1 if settings.tiny else max(1, cores - 1)
    with tempfile.TemporaryDirectory() as name:
        folder, start_s = Path(name), time.perf_counter()
        shards = nano_shards(folder / "shards", 6) if settings.tiny else _talker_shards(folder / "shards", cores)
        made_s = time.perf_counter() - start_s
        for model, clips in _RUNS[:1] if settings.tiny else _RUNS:
            recipe = _recipe(model, clips, workers, settings)
            label: Row = {"model": model, "clips": recipe.batch, "workers": workers}
            if model == _RUNS[0][0] and clips == _RUNS[0][1]:
                yield "Loader alone", {**label, "shards made in s": made_s, **_loader_row(recipe, shards, settings)}
            yield "Runs of the trainer", {**label, **_run_row(recipe, shards, folder, settings)}


def _recipe(model: str, clips: int, workers: int, settings: Settings) -> PretrainRecipe:
    recipe = recipe_for(model, settings)
    clips = recipe.micro_batch if settings.tiny else clips
    steps = 3 if settings.tiny else _STEPS
    return replace(
        recipe,
        batch=clips,
        micro_batch=clips,
        steps=steps,
        warmup_steps=steps,
        workers=workers,
        log_every=1,
        checkpoint_every=1000,
        eval_every=0,
        precision=precision_for("bf16", settings),
    )


def _talker_shards(folder: Path, cores: int) -> Path:
    """Write a shard in which a few made talkers of 224 px repeat under other keys."""
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        different = list(pool.map(encode_stored_clip, range(_DIFFERENT)))
    return write_shards(folder, [different[number % _DIFFERENT] for number in range(_CLIPS)])


def _loader_row(recipe: PretrainRecipe, shards: Path, settings: Settings) -> Row:
    """Return the rate of batches that arrive on the device while it does nothing else."""
    steps = 2 if settings.tiny else 16
    with process_group(settings.device) as context:
        batches = iter(make_loader(recipe, shards, StorageConfig(), context))
        for _ in range(1 if settings.tiny else 4):
            next(batches)  # workers have started and their buffers are mapped
        start_s = time.perf_counter()
        for _ in range(steps):
            next(batches)
        if settings.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start_s
    clips_per_s = steps * recipe.batch / seconds
    return {"clips/s": clips_per_s, "clips/s of a worker": clips_per_s / recipe.workers}


def _run_row(recipe: PretrainRecipe, shards: Path, folder: Path, settings: Settings) -> Row:
    out = folder / f"{recipe.model}-{recipe.batch}"
    try:
        run_pretraining(recipe, PretrainingData(shards=shards), out, device=settings.device)
    except torch.OutOfMemoryError:
        return {"note": "out of memory"}
    rows = read_lines(out / THROUGHPUT)
    rows = rows[1:-1] if settings.tiny else rows[_WARMUP:-1]  # the last step waits for the checkpoint
    return {
        "step s": median(row["step_s"] for row in rows),
        "clips/s": median(row["clips_per_s"] for row in rows),
        "waited for data": sum(row["waited_share"] * row["step_s"] for row in rows)
        / sum(row["step_s"] for row in rows),
        "TFLOP/s": median(row["teraflops_per_device"] for row in rows),
        "MFU of the data sheet": median(row["mfu"] for row in rows),
        "peak GB": rows[-1].get("gpu_memory_gb"),
        "note": "",
    }
