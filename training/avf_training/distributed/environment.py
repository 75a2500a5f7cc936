"""The rank of this process and the number of ranks, from the environment variables that torchrun sets."""

import logging
import os
from typing import Literal, NamedTuple

from avf_shards.errors import UserError

Parallel = Literal["ddp", "fsdp"]  # a copy of the model on each rank, or a shard of every block (FSDP2)


class WorldSize(NamedTuple):
    """The number of ranks that share each step, and the rank of this process."""

    size: int
    rank: int


ALONE = WorldSize(1, 0)
"""A process that shares its steps with no other."""


def torchrun_environment() -> WorldSize:
    """Return WORLD_SIZE and RANK as torchrun sets them; one rank without torchrun.

    Raises UserError for values that are not whole numbers or do not fit each other.
    """
    texts = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK", "0")
    try:
        world = WorldSize(*map(int, texts))
    except ValueError:
        raise UserError(f"WORLD_SIZE={texts[0]!r}, RANK={texts[1]!r}: must be whole numbers") from None
    if not 0 <= world.rank < world.size:
        raise UserError(f"RANK={world.rank} is not one of WORLD_SIZE={world.size}")
    return world


def log_of_rank_0(name: str) -> logging.Logger:
    """Return the logger of a module whose messages every rank sees alike, so that rank 0 alone writes them."""
    logger = logging.getLogger(name)
    logger.addFilter(_is_rank_0)
    return logger


def _is_rank_0(record: logging.LogRecord) -> bool:
    return os.environ.get("RANK", "0") == "0"


def refuse_several_processes(subject: str) -> None:
    """Raise UserError where torchrun started several processes for what runs in one; `subject` begins the message."""
    world = torchrun_environment()
    if world.size > 1:
        raise UserError(f"{subject} runs in one process, and torchrun started {world.size}; start it without torchrun")
