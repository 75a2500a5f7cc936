"""avf-train pretrain-images: train image MAE on shards of face pictures."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import show_progress
from avf_shards.cli.paths import output_folder

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_picture_shards_argument,
    add_recipe_option,
)
from avf_training.data.shard_checks import require_shards
from avf_training.distributed.device_choice import resolve_device

EXAMPLES = """\
examples:
  avf-train pretrain-images PICTURES --recipe image_mae_small --out RUN
  torchrun --nproc-per-node 8 --no-python avf-train pretrain-images PICTURES --recipe image_mae_b --out RUN
"""


def add(commands: Any) -> None:
    """Add `run_image_pretraining`."""
    parser = add_command(
        commands,
        "pretrain-images",
        _run,
        help="Pre-train image MAE on shards of face pictures.",
        details="A run that was stopped continues when the same command is started again, with any number of ranks.",
        epilog=EXAMPLES,
    )
    add_picture_shards_argument(parser)
    add_recipe_option(parser, RECIPES / "pretrain_images", "steps=30")
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    parser.add_argument(
        "--validation",
        metavar="SHARDS",
        help="picture shards of people that are not trained on: they are scored and drawn (default: none)",
    )
    parser.add_argument(
        "--from-step", metavar="N", type=int, help="continue from the checkpoint of step N (default: the newest)"
    )
    add_device_option(parser)
    add_cache_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.data.storage import StorageConfig
    from avf_training.distributed.environment import launched_world
    from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe

    recipe = load_image_recipe(options.recipe, options.set)
    require_shards([*options.shards, *([options.validation] if options.validation else [])], "pictures")
    rank = launched_world().rank
    if rank == 0:
        show_progress("loading the model")
    # After what is refused quickly: this loads torch.
    from avf_training.framewise.pictures.pretraining import ImagePretrainingData, run_image_pretraining

    data = ImagePretrainingData(
        shards=options.shards, validation=options.validation, storage=StorageConfig(cache=options.cache)
    )
    device = resolve_device(options.device)
    step = run_image_pretraining(recipe, data, options.out, device=device, from_step=options.from_step)
    if rank == 0:
        print(f"{options.out}: step {step}")
        print(f"  curve    {options.out / 'curve.png'}")
        for path in sorted((options.out / "reconstructions").glob("step-*.png"))[-1:]:
            print(f"  figure   {path}")
    return 0
