"""Process group and collectives; independent of any model.

Shapes: B clips of this rank, G clips of all ranks, C width.
"""

import atexit
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from avf_shards.errors import FaultError, UserError
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from avf_training.distributed.context import DistributedContext
from avf_training.distributed.environment import launched_world, local_rank, started_by_srun
from avf_training.distributed.slurm import rendezvous_address

log = logging.getLogger(__name__)
T = TypeVar("T")
_GROUP_NUMBERS = itertools.count()  # of the groups of several ranks that this process has opened, in order
# Groups of several ranks that were closed. The last reference to a group must not be the one in DDP's reducer: its
# destructor holds the interpreter's lock and waits for the group's thread, which may need the lock to free a tensor.
# They are freed before the interpreter ends, when no reducer is left and the thread can still have the lock.
_closed_groups: list[dist.ProcessGroup] = []
atexit.register(_closed_groups.clear)


@contextmanager
def process_group(device: str) -> Iterator[DistributedContext]:
    """Open torch's process group for the block, also for a single process: checkpoints are written through it.

    A process may open several groups, one after the other, in the same order on every rank.
    """
    size, rank = launched_world()
    if device == "mps" and size > 1:
        raise UserError(f"--device mps: one process only, and this is one of {size}; train on cuda or cpu")
    on_gpu = device == "cuda"
    if on_gpu:
        torch.cuda.set_device(local_rank(torch.cuda.device_count()))
    # gloo beside nccl serves tensors on the CPU, which checkpoints use.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    if size > 1:
        # A prefix of its own for each group: under the same keys the ranks would read addresses of the group before.
        store = dist.PrefixStore(f"group {next(_GROUP_NUMBERS)}", _shared_store())
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    else:
        # A store in memory: a single process needs no address and no port.
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    log.info("rank %d of %d joined the process group (%s)", rank, size, backend)
    try:
        yield DistributedContext(
            size=size,
            rank=rank,
            device=torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device(device),
        )
        dist.barrier()  # a rank that leaves early would break collectives of the others
    finally:
        if size > 1 and dist.group.WORLD is not None:
            _closed_groups.append(dist.group.WORLD)
        dist.destroy_process_group()


@cache
def _shared_store() -> dist.Store:
    """Return the store through which the ranks exchange their addresses, at the address that torchrun sets.

    Under srun it is at the first node of the step.

    It is opened once and stays open as long as the process, because another rank may still read from it.
    """
    if started_by_srun():
        host, port = rendezvous_address()
        size, rank = launched_world()
        store, _, _ = next(dist.rendezvous(f"tcp://{host}:{port}", rank=rank, world_size=size))
    else:
        store, _, _ = next(dist.rendezvous("env://"))
    return cast(dist.Store, store)


def sync_gradients(model: nn.Module, enabled: bool) -> Any:
    """Return a context for backward passes in which gradients are averaged over all ranks.

    With `enabled` false each rank adds up its own gradients, for all but the last micro-batch of a step.
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(enabled)
    return model.no_sync() if isinstance(model, DistributedDataParallel) and not enabled else torch.enable_grad()


def all_gather_features(x_BC: Tensor) -> tuple[Tensor, int]:
    """Return the rows of all ranks in order, (G, C), with gradients, and the number of this rank's first row."""
    if dist.get_world_size() == 1:
        return x_BC, 0
    return torch.cat(all_gather(x_BC.contiguous())), dist.get_rank() * len(x_BC)


def all_reduce_mean(values: Tensor) -> Tensor:
    """Return the mean of `values` over all ranks (collective: all ranks must call it); `values` is overwritten."""
    if dist.get_world_size() > 1:
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def decide_on_rank_0(decide: Callable[[], T]) -> T:
    """Return on every rank what `decide` returns on rank 0, which alone calls it (collective: all ranks must call it).

    A decision that each rank takes for itself, by a file that rank 0 may have written meanwhile, sends the ranks into
    different collectives, in which they wait for ever. A UserError or FaultError of rank 0 is raised on every rank.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return decide()
    box: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            box = [(decide(), None)]
        except (UserError, FaultError) as error:
            box = [(None, error)]
    dist.broadcast_object_list(box)
    decision, refusal = box[0]
    if refusal is not None:
        raise refusal
    return cast(T, decision)


def all_reduce_any(flag: bool, device: torch.device) -> bool:
    """Return True on every rank if `flag` is True on at least one (collective: all ranks must call it)."""
    if dist.get_world_size() == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)
