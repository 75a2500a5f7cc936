"""Processes that train together: as torchrun says, or this one alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from avf_training.data.world import this_world


@dataclass(frozen=True)
class Place:
    """This process: rank of a world of `size`, on its device."""

    size: int
    rank: int
    device: torch.device


@contextmanager
def joined_world(device: str) -> Iterator[Place]:
    """Inside, torch's process group is up, also for a single process: checkpoints are written by it."""
    size, rank = this_world()
    on_gpu = device == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    if size > 1:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield Place(size, rank, torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu"))
    finally:
        dist.destroy_process_group()


def mean_of_ranks(values: Tensor) -> Tensor:
    """The mean over all ranks."""
    if dist.get_world_size() > 1:
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether it is so on any rank. Called by all."""
    if dist.get_world_size() == 1:
        return flag
    told = torch.tensor(float(flag), device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)
