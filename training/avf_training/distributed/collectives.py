"""Process group and collectives; knows no model."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from avf_training.distributed.context import DistributedContext
from avf_training.distributed.environment import torchrun_environment


@contextmanager
def process_group(device: str) -> Iterator[DistributedContext]:
    """Inside, torch's process group is up, also for a single process: checkpoints are written by it."""
    size, rank = torchrun_environment()
    on_gpu = device == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    if size > 1:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield DistributedContext(
            size=size,
            rank=rank,
            device=torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu"),
        )
        dist.barrier()  # nobody leaves while another still talks
    finally:
        dist.destroy_process_group()


def accumulate_gradients(model: nn.Module, on: bool) -> Any:
    """A context in whose backward passes gradients are averaged over all processes, or, where off, kept to add to."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(on)
    return model.no_sync() if isinstance(model, DistributedDataParallel) and not on else torch.enable_grad()


def all_gather_features(x_BC: Tensor) -> tuple[Tensor, int]:
    """The rows of all ranks in order, with gradients, and where this rank's own begin."""
    if dist.get_world_size() == 1:
        return x_BC, 0
    return torch.cat(all_gather(x_BC.contiguous())), dist.get_rank() * len(x_BC)


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over all ranks."""
    if dist.get_world_size() > 1:
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def all_reduce_any(flag: bool, device: torch.device) -> bool:
    """Whether it is so on any rank. Called by all."""
    if dist.get_world_size() == 1:
        return flag
    told = torch.tensor(float(flag), device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)
