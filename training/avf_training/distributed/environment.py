"""Which rank of how many this process is."""

import os
from typing import NamedTuple

from avf_shards.errors import UserError


class WorldSize(NamedTuple):
    """size: processes that share each step; rank: this one."""

    size: int
    rank: int


def torchrun_environment() -> WorldSize:
    """As torchrun says in WORLD_SIZE and RANK; alone without it. Raises UserError for values that cannot be."""
    texts = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK", "0")
    try:
        world = WorldSize(*map(int, texts))
    except ValueError:
        raise UserError(f"WORLD_SIZE={texts[0]!r}, RANK={texts[1]!r}: must be whole numbers") from None
    if not 0 <= world.rank < world.size:
        raise UserError(f"RANK={world.rank} is not one of WORLD_SIZE={world.size}")
    return world
