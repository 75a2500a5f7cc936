"""torchrun that ends with its launcher: python -m avf_training.distributed.launch PROCESSES MODULE ARGUMENTS...

The processes are on this machine, one for each GPU that it sees.
"""

import os
import sys

from avf_shards.system.child_process import end_with_launcher


def main() -> None:
    """Run a module in several processes and end with their status."""
    # Before torchrun copies the environment: its processes must end with it, not with the launcher that they never had.
    end_with_launcher()
    from torch.distributed.run import main as torchrun

    os.environ["PYTHONSAFEPATH"] = "1"  # the ranks load no module of the working folder either
    processes, module, *arguments = sys.argv[1:]
    torchrun(["--standalone", "--nproc-per-node", processes, "-m", module, *arguments])


if __name__ == "__main__":
    main()
