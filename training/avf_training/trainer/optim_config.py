"""Settings of AdamW and of its learning rate. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass
from typing import Literal

from avf_shards.settings.config import refuse

DecayRule = Literal["exempt_tokens", "authors_code"]
"""Which parameters have no weight decay, besides biases and other vectors: all mask and region tokens
(`exempt_tokens`), or only the mask token of the video decoder, as in the authors' list of names (`authors_code`)."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Settings of AdamW and of the learning-rate schedule."""

    base_lr: float  # peak learning rate for a total batch of 256; scaled linearly with the batch
    min_lr: float  # learning rate at the end of the schedule, for a total batch of 256
    betas: tuple[float, ...]  # AdamW's two decay rates of the moment estimates
    weight_decay: float  # coefficient of AdamW's decoupled weight decay
    warmup_epochs: float  # epochs in which the learning rate rises
    clip_norm: float | None = None  # largest norm of the gradient; None does not clip
    decay: DecayRule = "exempt_tokens"  # which parameters have no weight decay

    def __post_init__(self) -> None:
        two_shares = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        falling = 0 <= self.min_lr <= self.base_lr
        refuse(
            (not falling, f"min_lr {self.min_lr} must lie between 0 and base_lr {self.base_lr}"),
            (not two_shares, f"betas {list(self.betas)} must be two numbers from 0 to 1"),
            (self.weight_decay < 0, f"weight_decay {self.weight_decay} must not be below 0"),
            (self.warmup_epochs < 0, f"warmup_epochs {self.warmup_epochs} must not be below 0"),
            (
                self.clip_norm is not None and self.clip_norm <= 0,
                f"clip_norm {self.clip_norm} must be above 0, or null",
            ),
        )
