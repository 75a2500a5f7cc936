"""A script for torchrun: avf-train with its own arguments, in which rank 0 writes models and scores late."""

import os
import sys
import time

from avf_training.cli.main import main
from avf_training.models.pretrained import Pretrained

DELAY_S = 5  # longer than the other ranks need to come to the next decision

save_pretrained = Pretrained.save_pretrained


def save_late(self, folder, *arguments):  # type: ignore[no-untyped-def]
    """Save a model after a while, on rank 0."""
    if os.environ["RANK"] == "0":
        time.sleep(DELAY_S)
    return save_pretrained(self, folder, *arguments)


if __name__ == "__main__":
    Pretrained.save_pretrained = save_late
    sys.exit(main(sys.argv[1:]))
