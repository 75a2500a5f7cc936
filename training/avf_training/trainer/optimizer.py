"""AdamW, its groups of parameters, and the schedule of the learning rate (HiCMAE 4.1; AVF-MAE++ Table 5)."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

_TOKENS = ("mask_token", "region_tokens")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """base_lr, min_lr: for a total batch of 256, scaled with it. clip_norm: of the gradient; None does not clip.

    decay: which parameters weight decay leaves alone besides vectors: `sound` mask and region tokens, `official` the
    video's mask token only, as the authors' list of names has it.
    """

    base_lr: float
    min_lr: float
    betas: tuple[float, ...]
    weight_decay: float
    warmup_epochs: float
    clip_norm: float | None = None
    decay: Literal["sound", "official"] = "sound"

    def __post_init__(self) -> None:
        if not 0 <= self.min_lr <= self.base_lr:
            raise ValueError(f"min_lr {self.min_lr} must lie between 0 and base_lr {self.base_lr}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {list(self.betas)} must be two numbers from 0 to 1")
        if self.weight_decay < 0 or self.warmup_epochs < 0:
            raise ValueError("weight_decay and warmup_epochs must not be below 0")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"clip_norm {self.clip_norm} must be above 0, or null")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate by step: a straight line from 0 to `peak` over the warm-up, then half a cosine to `end`."""

    peak: float
    end: float
    warmup_steps: int
    steps: int

    def lr(self, step: int) -> float:
        """Of step 0, 1, ..., steps - 1. The last step of the warm-up has the peak already."""
        if step < self.warmup_steps:
            return self.peak * step / max(1, self.warmup_steps - 1)
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.end + (self.peak - self.end) / 2 * (1 + math.cos(math.pi * min(1.0, done)))


def schedule(config: OptimConfig, batch: int, steps: int, warmup_steps: int) -> Schedule:
    """The schedule of a run of `steps` with a total `batch` (rates scale with batch / 256)."""
    scale = batch / 256
    return Schedule(
        peak=config.base_lr * scale, end=config.min_lr * scale, warmup_steps=min(warmup_steps, steps), steps=steps
    )


def has_weight_decay(name: str, parameter: torch.Tensor, rule: Literal["sound", "official"]) -> bool:
    """Whether weight decay acts on a parameter."""
    if parameter.ndim <= 1 or name.endswith(".bias"):
        return False
    if rule == "official":
        return name != "decoder_video.mask_token"
    return name.rpartition(".")[2] not in _TOKENS


def layer_of(name: str, depth: int, rule: Literal["sound", "official"]) -> int | None:
    """Where a parameter of a classifier lies: 0 the embedding, 1 .. depth the encoders' blocks, then the fusion's.

    None: after all of them (heads, norms, layer weights, ER and HAFE). Region tokens belong to the embedding; the
    authors' code takes them for what comes last (`official`).
    """
    if re.match(r"encoder_\w+\.embed\.", name) or (rule == "sound" and name.endswith(".region_tokens")):
        return 0
    if block := re.match(r"encoder_\w+\.blocks\.(\d+)\.", name):
        return int(block[1]) + 1
    if block := re.match(r"fusion\.(?:blocks|blocks_audio|units)\.(\d+)\.", name):
        return depth + int(block[1]) + 1
    return None


def layer_scale(name: str, layer_decay: float, depth: int, fusion: int, rule: Literal["sound", "official"]) -> float:
    """Factor on a parameter's learning rate: layer_decay for each layer that lies above it."""
    layer = layer_of(name, depth, rule)
    return 1.0 if layer is None else layer_decay ** (depth + fusion + 1 - layer)


def adamw(model: nn.Module, config: OptimConfig, scale: Callable[[str], float] = lambda name: 1.0) -> torch.optim.AdamW:
    """AdamW over the parameters that learn, in groups: with weight decay and without, for each `scale` of the rate."""
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((has_weight_decay(name, parameter, config.decay), scale(name)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": found, "weight_decay": config.weight_decay * on, "lr_scale": factor}
            for (on, factor), found in groups.items()
            if found
        ],
        lr=config.base_lr,
        betas=(config.betas[0], config.betas[1]),
        fused=True,  # of 700 small tensors, one by one takes longer than a small model's forward pass
    )
