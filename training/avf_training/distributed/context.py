"""A process among those that train together. Holds plain types only, so that recipes import it quickly."""

from dataclasses import dataclass
from typing import Literal

import torch

Parallel = Literal["ddp", "fsdp"]  # a copy of the model on each rank, or a shard of every block (FSDP2)


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """This process among those that train together."""

    size: int  # number of ranks (the world size)
    rank: int  # of this process, from 0
    device: torch.device  # of this process
