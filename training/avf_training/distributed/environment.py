"""The rank of this process and the number of ranks, from the environment of torchrun or of Slurm's srun."""

import logging
import os
import time
from typing import Literal, NamedTuple

from avf_shards.errors import UserError

from avf_training.distributed.slurm import slurm_step

Parallel = Literal["ddp", "fsdp"]  # a copy of the model on each rank, or a shard of every block (FSDP2)


class WorldSize(NamedTuple):
    """The number of ranks that share each step, and the rank of this process."""

    size: int
    rank: int


ALONE = WorldSize(1, 0)
"""A process that shares its steps with no other."""


def launched_world() -> WorldSize:
    """Return WORLD_SIZE and RANK as torchrun sets them, or those of the tasks of a step of srun; else one rank.

    Raises UserError for values that are not whole numbers or do not fit each other.
    """
    if started_by_srun():
        step = slurm_step()
        return ALONE if step is None else WorldSize(step.tasks, step.task)
    texts = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK", "0")
    try:
        world = WorldSize(*map(int, texts))
    except ValueError:
        raise UserError(f"WORLD_SIZE={texts[0]!r}, RANK={texts[1]!r}: must be whole numbers") from None
    if not 0 <= world.rank < world.size:
        raise UserError(f"RANK={world.rank} is not one of WORLD_SIZE={world.size}")
    return world


def started_by_srun() -> bool:
    """Return whether srun started this process as a rank, and not torchrun in a task of srun."""
    return not {"WORLD_SIZE", "RANK"} & os.environ.keys() and slurm_step() is not None


def local_rank(gpus: int) -> int:
    """Return the number of this rank's GPU among the `gpus` that it sees. Raises UserError where it has none."""
    if not started_by_srun():
        return int(os.environ.get("LOCAL_RANK", "0"))
    step = slurm_step()
    number = 0 if step is None else step.task_of_node
    if gpus > 1 and number >= gpus:
        raise UserError(
            f"SLURM_LOCALID={number}: this node's task sees {gpus} GPUs; start one task for each: "
            f"srun --ntasks-per-node={gpus}"
        )
    return number if gpus > 1 else 0  # --gpus-per-task shows each task its own GPU alone


def log_of_rank_0(name: str) -> logging.Logger:
    """Return the logger of a module whose messages every rank sees alike, so that rank 0 alone writes them."""
    logger = logging.getLogger(name)
    logger.addFilter(_is_rank_0)
    return logger


def _is_rank_0(record: logging.LogRecord) -> bool:
    try:
        return launched_world().rank == 0
    except UserError:  # the command ends with it elsewhere
        return True


def let_rank_0_speak(seconds: float = 5.0) -> None:
    """Wait on the other ranks before they write why they end, where rank 0 has the same to write.

    Once rank 0 has ended with an error, torchrun ends the other ranks, which so write nothing. A rank that alone has a
    fault, such as a node that lacks a folder, is not ended meanwhile, and writes it after `seconds`.
    """
    try:
        is_first = launched_world().rank == 0
    except UserError:  # no environment of ranks: what is wrong with it is written at once
        return
    if not is_first:
        time.sleep(seconds)


def refuse_several_processes(subject: str) -> None:
    """Raise UserError where torchrun or srun started several processes for what runs in one.

    `subject` begins the message.
    """
    world = launched_world()
    if world.size > 1:
        program, instead = ("srun", "with --ntasks=1") if started_by_srun() else ("torchrun", "without torchrun")
        raise UserError(f"{subject} runs in one process, and {program} started {world.size}; start it {instead}")
