"""avf-train benchmark: how fast this machine makes batches of your shards."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.errors import UserError

from avf_training.cli.options import add_cache_option, add_preset_option
from avf_training.data.shard_checks import require_shards


def add(commands: Any) -> None:
    """Add `benchmark`."""
    parser = add_command(
        commands,
        "benchmark",
        _run,
        help="Time each part of the data stream on one core, and compute how many cores feed one GPU.",
    )
    parser.add_argument("shards", metavar="SHARDS", help="folder of packed shards, or its address (https://, s3://)")
    parser.add_argument(
        "--clips", metavar="N", type=int, default=64, help="clips to measure with (default: %(default)s)"
    )
    add_preset_option(parser, "model whose input is prepared (default: %(default)s)", "avfmaepp_b")
    parser.add_argument(
        "--batch",
        metavar="N",
        type=int,
        default=164,
        help="clips of a training step on one GPU (default: %(default)s, as in the paper)",
    )
    parser.add_argument(
        "--step-s", metavar="S", type=float, default=0.2, help="seconds of such a step (default: %(default)g)"
    )
    add_cache_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    for name in ("clips", "batch", "step_s"):
        if getattr(options, name) <= 0:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)} must be above 0")
    require_shards([options.shards])
    # After what is refused quickly: these load torch.
    from avf_training.console.training_tables import print_stream_cost
    from avf_training.data.benchmark import measure_stream_cost
    from avf_training.data.storage import StorageConfig

    cost = measure_stream_cost(options.shards, options.clips, options.preset, StorageConfig(cache=options.cache))
    if not write_answer(options, asdict(cost) | {"cores": cost.cores_needed(options.step_s, options.batch)}):
        print_stream_cost(cost, options.batch, options.step_s)
    return 0
