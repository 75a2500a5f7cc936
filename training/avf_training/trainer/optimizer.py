"""AdamW, its groups of parameters, and the schedule of the learning rate (HiCMAE 4.1; AVF-MAE++ Table 5)."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from avf_training.trainer.optim_config import DecayRule, OptimConfig
from avf_training.trainer.weight_average import AveragingAdamW

_TOKENS = ("mask_token", "region_tokens", "cls_token", "pos_embed")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate by step: a straight line from 0 to `peak` over the warm-up, then half a cosine to `end`."""

    peak: float  # learning rate after the warm-up
    end: float  # learning rate at the last step
    warmup_steps: int  # optimizer steps of the warm-up, a part of `steps`
    steps: int  # length of the run

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0. The last step of the warm-up already has the peak."""
        if step < self.warmup_steps:
            return self.peak * step / max(1, self.warmup_steps - 1)
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.end + (self.peak - self.end) / 2 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True, kw_only=True)
class FunctionSchedule(Schedule):
    """A schedule that is a function of the step."""

    rate_of: Callable[[int], float] = field(repr=False)

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self.rate_of(step)


def schedule(config: OptimConfig, batch: int, steps: int, warmup_steps: int) -> Schedule:
    """Return the schedule of a run of `steps` with a total `batch`; rates scale with batch / 256."""
    # The linear scaling rule; the papers give their rates for a batch of 256 (HiCMAE 4.1).
    scale = batch / 256
    return Schedule(
        peak=config.base_lr * scale, end=config.min_lr * scale, warmup_steps=min(warmup_steps, steps), steps=steps
    )


def has_weight_decay(name: str, parameter: torch.Tensor, rule: DecayRule) -> bool:
    """Return whether weight decay acts on a parameter of this name."""
    if parameter.ndim <= 1 or name.endswith(".bias"):
        return False
    if rule == "authors_code":
        return name != "decoder_video.mask_token"
    return name.rpartition(".")[2] not in _TOKENS


def layer_of(name: str, depth: int, rule: DecayRule) -> int | None:
    """Return the layer of a parameter of a classifier: 0 for the embedding, 1 to `depth` for encoder blocks, then the
    fusion's; None for what comes after all of them (heads, norms, layer weights, ER and HAFE).

    Region tokens belong to the embedding. The authors' code counts them among what comes last (rule `authors_code`).
    """
    if re.match(r"encoder_\w+\.embed\.", name) or (rule == "exempt_tokens" and name.endswith(".region_tokens")):
        return 0
    if block := re.match(r"encoder_\w+\.blocks\.(\d+)\.", name):
        return int(block[1]) + 1
    if block := re.match(r"fusion\.(?:blocks|blocks_audio|units)\.(\d+)\.", name):
        return depth + int(block[1]) + 1
    return None


def layer_scale(name: str, layer_decay: float, depth: int, fusion: int, rule: DecayRule) -> float:
    """Return the factor on the learning rate of a parameter: `layer_decay` to the power of the layers above it."""
    layer = layer_of(name, depth, rule)
    return 1.0 if layer is None else layer_decay ** (depth + fusion + 1 - layer)


def freeze_layers(model: nn.Module, count: int, *, depth: int, rule: DecayRule) -> None:
    """Let the `count` lowest of a classifier's layers learn nothing: the embedding, the encoders' blocks, the fusion's.

    Args:
        depth: blocks of an encoder.
    """
    for name, parameter in model.named_parameters():
        layer = layer_of(name, depth, rule)
        # Those that a model does not use are frozen already, and stay so.
        if layer is not None and layer < count:
            parameter.requires_grad_(False)


def adamw(
    model: nn.Module,
    config: OptimConfig,
    scale: Callable[[str], float] = lambda name: 1.0,
    average_decay: float | None = None,
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters, in groups by weight decay and by `scale(name)`, the factor on the
    learning rate of a parameter.

    Args:
        average_decay: of the moving average that is kept of the weights; None: no average.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:  # parts that a model does not use are frozen
            groups.setdefault((has_weight_decay(name, parameter, config.decay), scale(name)), []).append(parameter)
    kind = torch.optim.AdamW if average_decay is None else partial(AveragingAdamW, average_decay=average_decay)
    return kind(
        [
            {"params": members, "weight_decay": config.weight_decay * decays, "lr_scale": factor}
            for (decays, factor), members in groups.items()
            if members
        ],
        lr=config.base_lr,
        betas=(config.betas[0], config.betas[1]),
        fused=True,  # one kernel for all: 700 small tensors one by one take longer than a small model's forward pass
    )
