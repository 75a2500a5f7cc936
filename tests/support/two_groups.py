"""A script for torchrun: process groups in a row, as `--fold all` opens them; rank 0 prints the sum of each."""

import json

import torch
from avf_training.distributed.collectives import process_group

GROUPS = 4


def main() -> None:
    sums = []
    for number in range(GROUPS):
        with process_group("cpu") as context:
            value = torch.tensor(10 * number + context.rank)
            torch.distributed.all_reduce(value)
            sums.append(int(value))
    if context.rank == 0:
        print(json.dumps(sums))


if __name__ == "__main__":
    main()
