"""The forward pass of pre-training with a range of torch's profiler around each part."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.pretraining_sampler import PretrainingBatch, pretraining_input
from avf_training.objectives.hcmcl import contrastive_loss
from avf_training.objectives.pretraining_loss import pretraining_losses
from avf_training.trainer.train_step import Forward
from torch import Tensor, nn
from torch.profiler import record_function

PREFIX = "part: "


def annotate_modules(model: nn.Module, hooks: ExitStack) -> None:
    """Put a range around the forward pass of each child of the model, until `hooks` closes."""
    for name, module in model.named_children():
        enter, leave = _range_hooks(name)
        hooks.callback(module.register_forward_pre_hook(enter).remove)
        hooks.callback(module.register_forward_hook(leave).remove)


def _range_hooks(name: str) -> tuple[Callable[..., None], Callable[..., None]]:
    open_ranges: list[Any] = []

    def enter(*_: object) -> None:
        open_ranges.append(record_function(PREFIX + name))
        open_ranges[-1].__enter__()

    def leave(*_: object) -> None:
        open_ranges.pop().__exit__(None, None, None)

    return enter, leave


def annotated_forward(recipe: PretrainRecipe) -> Forward[PretrainingBatch]:
    """Return the forward pass of `pretraining_forward`, with ranges around transforms and losses."""
    config = recipe.model_config()

    def forward(model: nn.Module, batch: PretrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with record_function(PREFIX + "transforms"):
            video, audio = pretraining_input(batch, config.geometry, config.modalities)
        with recipe.precision.autocast(batch.planes_RTQW.device.type):
            out = model(video, audio, batch.masks)
        with record_function(PREFIX + "reconstruction loss"):
            losses = pretraining_losses(replace(out, levels=()), video, audio, batch.masks, config)
        with record_function(PREFIX + "contrastive loss"):
            levels = [contrastive_loss(v, a, config.temperature) for v, a in out.levels]
            total = losses.total + config.contrastive_weight * torch.stack(levels).sum()
        return total, {}

    return forward
