"""Where a process stands in a world, and how a model is shared out there. Names alone: quick to import."""

from dataclasses import dataclass
from typing import Literal

import torch

Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """This process: rank of a world of `size`, on its device."""

    size: int
    rank: int
    device: torch.device
