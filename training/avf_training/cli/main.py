# PYTHON_ARGCOMPLETE_OK
"""avf-train: models described, checked against the authors' numbers, trained, evaluated and used."""

import argparse
import os
import sys
from collections.abc import Sequence

from avf_shards.cli.common import make_parser, run_command
from avf_shards.errors import FaultError, UserError
from avf_shards.system.child_process import end_with_launcher

from avf_training.cli.commands import COMMANDS
from avf_training.distributed.environment import let_rank_0_speak

EXAMPLES = """\
avf-train describe
avf-train pretrain --recipe nano --shards SHARDS --out PRETRAINED
avf-train finetune --dataset mafw_11 --shards MAFW --recipe avfmaepp_b --model PRETRAINED --out FINETUNED
avf-train evaluate --model FINETUNED --shards MAFW
avf-train predict VIDEO --model FINETUNED
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    description = "HiCMAE and AVF-MAE++: audio-visual masked autoencoders of talking faces."
    parser, commands = make_parser("avf-train", description, EXAMPLES)
    for command in COMMANDS:
        command.add(commands)
    return parser


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait for work, where the user's environment does not say how they wait.

    It must be said before torch is loaded. By default they spin, and take the core from the thread they wait for where
    another process, such as a loader's worker, needs one too: a step of two threads beside a busy process took 5.7 CPU
    seconds, and 0.8 with threads that sleep. The results are the same.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    let_threads_sleep()
    end_with_launcher()
    return run_command(build_parser(), arguments, stopped="stopped", run=run_rank)


def run_rank(options: argparse.Namespace) -> int:
    """Run the subcommand in one of any number of ranks and return its exit status.

    What each rank refuses alike is raised by rank 0 first, so that it is written once.
    """
    try:
        return int(options.run(options))
    except (UserError, FaultError):
        let_rank_0_speak()
        raise


if __name__ == "__main__":
    sys.exit(main())
