"""Replay of a step whose loss was not finite: compute the same batch again and find the module that broke.

RUN/nonfinite/model          the weights at that step
RUN/nonfinite/rank-0.json    step, stream position, clip keys, scale of the gradients
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import read_json, stamp
from avf_shards.system import durable_io
from torch import Tensor, nn

from avf_training.config.micro_batch import fix_groups
from avf_training.config.pretrain import PretrainRecipe, recipe_of_run
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.data.storage import StorageConfig
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict
from avf_training.models.batch_norm import defer_running_statistics
from avf_training.models.mae import MaskedAutoencoder, ReconstructionOutput
from avf_training.pretraining.step import make_loader, pretraining_forward

FOLDER = "nonfinite"


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """Losses, gradients and outputs of the batch in the replay."""

    step: int  # step that stopped the run, from 0
    parts: dict[str, float]  # the loss and its parts
    module: str | None  # the first module whose output is not finite
    parameters: tuple[str, ...]  # parameters whose gradient is not finite
    keys: tuple[str, ...]  # clips whose own reconstruction is not finite

    @property
    def finite(self) -> bool:
        """Return whether outputs, gradients and losses were all finite in the replay."""
        return self.module is None and not self.parameters and all(map(math.isfinite, self.parts.values()))


def keep_for_replay(
    out: Path,
    step: int,
    *,
    batches: Sequence[PretrainingBatch],
    model: MaskedAutoencoder,
    scaler: torch.amp.GradScaler,
    context: DistributedContext,
) -> None:
    """Write the keys of the batch and the weights, which skipped steps did not change. Collective over all ranks."""
    folder = out / FOLDER
    tensors = full_state_dict(model)
    if context.rank == 0:
        durable_io.remove(folder)
        durable_io.make_folder(folder)
        model.save_pretrained(folder / "model", tensors)
    dist.barrier()  # rank 0 has emptied the folder; only now may the ranks write their files
    snapshot = {
        "step": step,
        "world": context.size,
        "rank": context.rank,
        "first": batches[0].first_position - context.rank * len(batches[0]),
        "scale": scaler.get_scale(),
        "keys": [batch.keys for batch in batches],
    }
    durable_io.write(
        folder / f"rank-{context.rank}.json", (json.dumps(stamp(snapshot, "replay snapshot"), indent=1) + "\n").encode()
    )
    dist.barrier()  # the error that follows ends the processes: every rank's file must be complete before


def replay_step(run: Path, shards: Path | str, storage: StorageConfig, rank: int = 0) -> ReplayReport:
    """Repeat one rank's part of the step that stopped a run, on the CPU.

    Raises UserError, FaultError for other shards.
    """
    snapshot = _read_snapshot(run, rank)
    # The micro-batch of the start that stopped, which may differ from that of the run's first start.
    recipe = replace(recipe_of_run(run), micro_batch=len(snapshot["keys"][0]))
    recipe, _ = fix_groups(recipe, run, snapshot["world"])
    model = MaskedAutoencoder.from_pretrained(run / FOLDER / "model", is_finite=False).train()
    model.fp32_decoder = recipe.precision.fp32_decoder
    defer_running_statistics(model, recipe.batch_norm_clips or recipe.micro_batch)
    watcher = _OutputWatcher(model)
    forward = pretraining_forward(recipe)
    parts: dict[str, float] = {}
    bad_keys: list[str] = []
    for batch, keys in zip(_batches(recipe, shards, storage, snapshot), snapshot["keys"], strict=True):
        if list(batch.keys) != keys:
            raise FaultError(f"{shards}: gives other clips than step {snapshot['step']} of {run} had")
        loss, batch_parts = forward(model, batch)
        for name, value in {"loss": loss, **batch_parts}.items():
            parts[name] = parts.get(name, 0.0) + float(value) / len(snapshot["keys"])
        bad_keys += [key for key, bad in zip(keys, watcher.bad_rows(), strict=True) if bad]
        # With the scale of that step: in fp16 it decides which gradients overflow.
        (loss * snapshot["scale"] / len(snapshot["keys"])).backward()
    bad = tuple(n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all())
    return ReplayReport(step=snapshot["step"], parts=parts, module=watcher.first, parameters=bad, keys=tuple(bad_keys))


def _read_snapshot(run: Path, rank: int) -> dict[str, Any]:
    path = run / FOLDER / f"rank-{rank}.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; a run that stops because its loss is not finite writes it")
    return read_json(path, "replay snapshot")


def _batches(
    recipe: PretrainRecipe, shards: Path | str, storage: StorageConfig, snapshot: dict[str, Any]
) -> Iterator[PretrainingBatch]:
    """Return the micro-batches of the step in the snapshot."""
    # Unreadable clips must not end the replay: only the clips of this one step matter.
    for_replay = replace(recipe, workers=0, max_fault_share=1.0)
    loader = make_loader(
        for_replay,
        shards,
        storage,
        DistributedContext(size=snapshot["world"], rank=snapshot["rank"], device=torch.device("cpu")),
    )
    loader.seek(snapshot["first"])
    return islice(loader, len(snapshot["keys"]))


class _OutputWatcher:
    """Watches the outputs of modules: the first that is not finite, and the last output of the whole model."""

    def __init__(self, model: MaskedAutoencoder) -> None:
        self.first: str | None = None
        self._out: ReconstructionOutput | None = None
        for name, module in model.named_modules():
            module.register_forward_hook(self._make_hook(name))

    def _make_hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, out: Any) -> None:
            if isinstance(out, ReconstructionOutput):
                self._out = out
            elif self.first is None and isinstance(out, Tensor) and not out.isfinite().all():
                self.first = name

        return hook

    def bad_rows(self) -> list[bool]:
        """Return for each clip of the last batch whether its reconstruction is not finite."""
        assert self._out is not None
        finite_B = [
            out.isfinite().flatten(1).all(1) for out in (self._out.video_BMP, self._out.audio_BMP) if out is not None
        ]
        return [not finite for finite in torch.stack(finite_B).all(0).tolist()]
