"""A script for torchrun: avf-train with its own arguments, in which rank 0 saves a model only after the other decided.

Rank 0 waits until rank 1 has come to the decision after it, by the file that AVF_DECISIONS names: rank 1 writes there
how often it has entered a broadcast.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist
from avf_training.cli.main import main
from avf_training.models.pretrained import Pretrained

LIMIT_S = 60  # a rank that decides for itself never comes

RANK = int(os.environ["RANK"])
DECISIONS = Path(os.environ["AVF_DECISIONS"])
broadcast_object_list = dist.broadcast_object_list
save_pretrained = Pretrained.save_pretrained
entered = 0


def count_broadcast(*arguments: Any, **options: Any) -> None:
    """Broadcast; on rank 1 write the number of broadcasts first."""
    global entered
    entered += 1
    if RANK == 1:
        written = DECISIONS.with_suffix(".new")
        written.write_text(str(entered))
        written.replace(DECISIONS)
    broadcast_object_list(*arguments, **options)


def save_late(self: Pretrained, folder: Path, *arguments: Any) -> None:
    """Save a model, on rank 0 after rank 1 has entered a broadcast that rank 0 has not."""
    limit_s = time.monotonic() + LIMIT_S
    while RANK == 0 and int(DECISIONS.read_text()) <= entered and time.monotonic() < limit_s:
        time.sleep(0.01)
    save_pretrained(self, folder, *arguments)


if __name__ == "__main__":
    dist.broadcast_object_list = count_broadcast
    Pretrained.save_pretrained = save_late
    sys.exit(main(sys.argv[1:]))
