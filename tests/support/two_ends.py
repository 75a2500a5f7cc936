"""A script for torchrun on two processes that end a group many times in a row; rank 0 prints how often, as JSON.

A thread seldom gets the interpreter's lock while another one works, as on a busy machine.
"""

import json
import sys

import torch
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.parallelize import wrap_ddp
from torch import nn

ENDS = 20


def train_once() -> int:
    """Open a group, train a copy of a layer on each rank, and leave while DDP still refers to the group."""
    with process_group("cpu") as context:
        model = wrap_ddp(nn.Linear(4, 4), context)
        model(torch.ones(2, 4)).sum().backward()
        decide_on_rank_0(lambda: "done")
        return context.rank


def main() -> None:
    sys.setswitchinterval(1000)
    ranks = {train_once() for _ in range(ENDS)}
    if ranks == {0}:
        print(json.dumps(ENDS))


if __name__ == "__main__":
    main()
