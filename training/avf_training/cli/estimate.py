"""avf-train estimate: steps, hours and memory of a pre-training recipe."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.errors import UserError

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_recipe_option,
    add_shards_option,
)
from avf_training.data.shard_checks import require_shards
from avf_training.distributed.device_choice import resolve_device

_PAPER_DEVICES = 8


def add(commands: Any) -> None:
    """Add `estimate`."""
    parser = add_command(
        commands, "estimate", _run, help="Estimate steps, hours and memory of a recipe from a few measured steps."
    )
    add_recipe_option(parser, RECIPES, "steps=30")
    add_shards_option(parser)
    parser.add_argument(
        "--devices",
        metavar="N",
        type=int,
        help=f"devices of the run (default: {_PAPER_DEVICES}, as in the paper, or the most that the batch can be split "
        "over)",
    )
    parser.add_argument(
        "--clips",
        metavar="N",
        type=int,
        help="clips of a measured step (default: the recipe's micro_batch; at most 2 on a CPU)",
    )
    parser.add_argument("--steps", metavar="N", type=int, default=5, help="measured steps (default: %(default)s)")
    add_device_option(parser)
    add_cache_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import load_recipe, most_devices

    recipe = load_recipe(options.recipe, options.set)
    devices = most_devices(recipe.accumulation, _PAPER_DEVICES) if options.devices is None else options.devices
    require_shards([options.shards])
    # After what is refused quickly: this loads torch.
    from avf_training.console.training_tables import print_cost_estimate
    from avf_training.data.storage import StorageConfig
    from avf_training.pretraining.cost_estimate import estimate_training_cost
    from avf_training.pretraining.pretrain import PretrainingData

    device = resolve_device(options.device)
    clips = options.clips or (min(2, recipe.micro_batch) if device == "cpu" else recipe.micro_batch)
    if min(devices, options.steps) < 1 or clips < 2:
        raise UserError("--devices and --steps must be at least 1, --clips must be at least 2")
    data = PretrainingData(shards=options.shards, storage=StorageConfig(cache=options.cache))
    cost = estimate_training_cost(
        recipe, data, devices, measured_batch=clips, measured_steps=options.steps, device=device
    )
    if not write_answer(options, asdict(cost)):
        print_cost_estimate(cost)
    return 0
