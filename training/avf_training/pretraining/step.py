"""The two parts of a pre-training step: its batches, and the forward pass from a batch to the loss.

The model input is computed on the device, the model runs under autocast, and losses are computed in fp32.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import (
    PretrainingBatch,
    PretrainingSampler,
    pretraining_input,
)
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream
from avf_training.distributed.context import DistributedContext
from avf_training.objectives.hcmcl import NegativeClips
from avf_training.objectives.pretraining_loss import pretraining_losses
from avf_training.trainer.train_step import Forward


def make_loader(
    recipe: PretrainRecipe,
    shards: Path | str,
    storage: StorageConfig,
    context: DistributedContext,
    out: Path | None = None,
) -> StreamLoader[PretrainingBatch]:
    """Return the loader of this rank's micro-batches; its delivery log and its quarantine are written to `out`."""
    micro = recipe.micro_batch * context.size  # one step of the stream is a micro-batch of all ranks
    config = StreamConfig(
        shards=shards,
        batch=micro,
        seed=recipe.seed,
        mix=recipe.mix,
        max_fault_share=recipe.max_fault_share,
        storage=storage,
    )
    stream = ClipStream(
        config,
        PretrainingSampler(recipe.model_config(), recipe.masks, recipe.any_start_frame),
        context.size,
        context.rank,
    )
    quarantine, log = (out / "quarantine.jsonl", out / "delivery.jsonl") if out else (None, None)
    return StreamLoader(stream, workers=recipe.workers, device=context.device, quarantine=quarantine, delivery_log=log)


def pretraining_forward(recipe: PretrainRecipe) -> Forward[PretrainingBatch]:
    """Return the function from a batch to its loss and the parts of the loss, weighted as the recipe says."""
    config = recipe.model_config()
    negatives = NegativeClips(source=recipe.contrastive.negatives, clips=recipe.contrastive.clips)

    def forward(model: nn.Module, batch: PretrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        video, audio = pretraining_input(batch, config.geometry, config.modalities)
        with recipe.precision.autocast(batch.planes_RTQW.device.type):
            out = model(video, audio, batch.masks)
        losses = pretraining_losses(out, video, audio, batch.masks, config, negatives=negatives)
        parts = {"video": losses.video, "audio": losses.audio}
        if losses.levels:
            parts["contrastive"] = torch.stack(losses.levels).sum()
        return losses.total, {name: part for name, part in parts.items() if part is not None}

    return forward
