"""A process among those that train together."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """This process among those that train together."""

    size: int  # number of ranks (the world size)
    rank: int  # of this process, from 0
    device: torch.device  # of this process
