"""Pre-training: masked audio-visual autoencoding of a stream of clips, from a recipe to a model, through any kill."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from avf_shards import seam
from avf_shards.errors import FaultError, UserError
from avf_shards.settings import difference
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from avf_training.checkpoint import Checkpoints
from avf_training.data.loader import StreamLoader
from avf_training.data.pretraining import Pretraining, PretrainingBatch, PretrainingDraw, pretraining_input
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import Stream, StreamConfig
from avf_training.distributed import Place, any_rank, joined_world
from avf_training.loop import Loop
from avf_training.metrics import Metrics
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset
from avf_training.objectives.pretraining import pretraining_losses
from avf_training.optim import adamw, schedule
from avf_training.recipe import PretrainRecipe

RUN, MODEL, REPLAY = "run.json", "model", "nonfinite.json"
_FREE = ("workers", "threads", "log_every", "checkpoint")  # what may change between two starts of a run


def pretrain(
    recipe: PretrainRecipe,
    shards: Path | str,
    out: Path,
    storage: StorageConfig,
    device: str = "cpu",
    from_step: int | None = None,
) -> int:
    """Train to the recipe's last step, from the newest checkpoint in `out` or from the start; the step reached.

    Raises UserError, FaultError. SIGTERM and SIGUSR1 save and end it early.
    """
    with joined_world(device) as place, _stop_asked() as stopping:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        accumulation = recipe.accumulation(place.size)
        loader = _loader(recipe, shards, out, storage, place)
        steps, warmup = _lengths(recipe, len(loader.stream.order))
        _freeze(out, recipe, loader.stream.order.digest, place)
        torch.manual_seed(recipe.seed)
        model = MaskedAutoencoder(preset(recipe.model), recipe.precision.fp32_decoder).to(place.device).train()
        model.checkpoint_activations(recipe.activation_checkpointing)
        optimiser = adamw(model, recipe.optim)
        scaler = torch.amp.GradScaler(place.device.type, enabled=recipe.precision.compute == "fp16")
        checkpoints = Checkpoints(out, recipe.checkpoint.keep, place.rank)
        start = _resume(checkpoints, from_step, model, optimiser, scaler, loader)
        loop = Loop(
            _wrapped(model, recipe, place),
            optimiser,
            schedule(recipe.optim, recipe.batch, steps, warmup),
            _forward(recipe, model),
            recipe.optim.clip_norm,
            scaler,
        )
        metrics = Metrics(out, start, steps) if place.rank == 0 else None
        batches, skipped, reached = iter(loader), 0, start
        waited_s, since_s = 0.0, time.perf_counter()
        for step in range(start, steps):
            asked_s = time.perf_counter()
            micro_batches = list(islice(batches, accumulation))
            waited_s += time.perf_counter() - asked_s
            done = loop.step(step, micro_batches)
            skipped = skipped + 1 if done.skipped else 0
            if skipped >= recipe.nonfinite_limit:
                raise _diverged(out, step, skipped, micro_batches, place)
            if metrics is not None:
                values = {"step": step, **done.values()}
                metrics.write(values)
                if (step + 1) % recipe.log_every == 0:
                    spent_s = time.perf_counter() - since_s
                    metrics.show(values, recipe.log_every * recipe.batch / spent_s, waited_s / spent_s)
                    waited_s, since_s = 0.0, time.perf_counter()
            reached = step + 1
            checkpoints.poll()
            ending = any_rank(bool(stopping), place.device)
            if ending or reached % recipe.checkpoint.every == 0 or reached == steps:
                state = {"scaler": scaler.state_dict(), "stream": loader.state_dict()}
                checkpoints.save(reached, model, optimiser, state)
            if ending:
                break
        checkpoints.wait()
        if reached == steps and place.rank == 0 and not (out / MODEL).exists():
            model.save_pretrained(out / MODEL)
        return reached


def _loader(
    recipe: PretrainRecipe, shards: Path | str, out: Path, storage: StorageConfig, place: Place
) -> StreamLoader[PretrainingDraw, PretrainingBatch]:
    micro = recipe.micro_batch * place.size  # a step of the stream is a micro-batch of all processes
    config = StreamConfig(shards, micro, recipe.seed, recipe.mix, recipe.max_fault_share, storage=storage)
    draws = Pretraining(preset(recipe.model), recipe.masks, recipe.official_windows)
    stream = Stream(config, draws, place.size, place.rank)
    return StreamLoader(stream, recipe.workers, place.device, out / "quarantine.jsonl", out / "account.jsonl")


def _lengths(recipe: PretrainRecipe, clips: int) -> tuple[int, int]:
    """(steps, warm-up steps) of a run over epochs of `clips`. Raises UserError for a run without a step."""
    per_epoch = clips / recipe.batch
    steps = recipe.steps if recipe.steps is not None else int(recipe.epochs * per_epoch)
    if steps < 1:
        raise UserError(f"{recipe.epochs:g} epochs of {clips} clips are less than one batch of {recipe.batch}")
    warmup = recipe.warmup_steps
    return steps, int(recipe.optim.warmup_epochs * per_epoch) if warmup is None else warmup


def _freeze(out: Path, recipe: PretrainRecipe, stream: str, place: Place) -> None:
    """Record what this folder's run is, or refuse when it is another. Raises UserError with the difference."""
    frozen = {"recipe": {k: v for k, v in asdict(recipe).items() if k not in _FREE}, "stream": stream}
    now = json.loads(json.dumps(frozen))
    if (out / RUN).is_file():
        before = json.loads((out / RUN).read_text("utf-8"))
        diff = difference(before, now)
        if diff:
            raise UserError(f"{out}: holds a run with other settings; use another folder\n{diff}")
    elif place.rank == 0:
        seam.make_folder(out)
        seam.remove(out / f".{RUN}")  # of a process that died here
        seam.write(out / f".{RUN}", (json.dumps(now, indent=1) + "\n").encode())
        seam.publish_file(out / f".{RUN}", out / RUN)


def _resume(
    checkpoints: Checkpoints,
    from_step: int | None,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loader: StreamLoader[PretrainingDraw, PretrainingBatch],
) -> int:
    saved = checkpoints.newest(from_step)
    if saved is None:
        return 0
    checkpoints.load(saved, model, optimiser)
    scaler.load_state_dict(saved.state["scaler"])
    loader.load_state_dict(saved.state["stream"])
    return saved.step


def _wrapped(model: nn.Module, recipe: PretrainRecipe, place: Place) -> nn.Module:
    if recipe.compile:
        model.compile()
    if place.size == 1:
        return model
    # Each process keeps its own running statistics, as the authors' do; nothing of them is read in training.
    return DistributedDataParallel(model, broadcast_buffers=False)


def _forward(recipe: PretrainRecipe, model: MaskedAutoencoder) -> Any:
    config = model.config

    def forward(wrapped: nn.Module, batch: PretrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        video, audio = pretraining_input(batch, config.geometry)
        with recipe.precision.autocast(video.device.type):
            out = wrapped(video, audio, batch.masks)
        losses = pretraining_losses(out, video, audio, batch.masks, config, recipe.frame_difference)
        parts = {"video": losses.video, "audio": losses.audio}
        if losses.levels:
            parts["contrastive"] = torch.stack(losses.levels).sum()
        return losses.total, {name: part for name, part in parts.items() if part is not None}

    return forward


def _diverged(out: Path, step: int, skipped: int, batches: list[PretrainingBatch], place: Place) -> FaultError:
    keys = [key for batch in batches for key in batch.keys]
    path = out / f"{place.rank}-{REPLAY}"
    seam.replace_file(path, (json.dumps({"step": step, "keys": keys}, indent=1) + "\n").encode())
    return FaultError(f"step {step}: {skipped} steps in a row gave a loss or gradient that is not finite; see {path}")


@contextmanager
def _stop_asked() -> Iterator[list[int]]:
    """The signals that came: SIGTERM (a scheduler ends the job) and SIGUSR1 (it will soon)."""
    came: list[int] = []
    kinds = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(kind, lambda number, frame: came.append(number)) for kind in kinds]
    try:
        yield came
    finally:
        for kind, old in zip(kinds, before, strict=True):
            signal.signal(kind, old)
