"""avf-train pretrain: train a masked autoencoder on shards."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer
from avf_shards.cli.paths import output_folder

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_recipe_option,
    add_shards_option,
    dataset_names,
)

EXAMPLES = """\
examples:
  avf-train pretrain --recipe nano --shards SHARDS --out RUN
  torchrun --nproc-per-node 8 --no-python avf-train pretrain --recipe avfmaepp_b --shards SHARDS --out RUN
"""


def add(commands: Any) -> None:
    """Add `run_pretraining`."""
    parser = add_command(
        commands,
        "pretrain",
        _run,
        help="Pre-train a masked autoencoder on shards.",
        details="A run that was stopped continues when the same command is started again, with any number of ranks.",
        epilog=EXAMPLES,
    )
    add_recipe_option(parser, RECIPES, "steps=30")
    add_shards_option(parser)
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    parser.add_argument(
        "--validation",
        metavar="SHARDS",
        help="shards of people that are not trained on: they are scored and drawn (default: none)",
    )
    parser.add_argument(
        "--probe",
        metavar="SHARDS",
        action="append",
        help="labelled shards on which linear and knn probes score the frozen features as training goes on; "
        "repeat for more (default: none)",
    )
    dataset = parser.add_argument(
        "--probe-dataset", metavar="NAME|FILE", help="data set of --probe (see avf-train datasets), or a file"
    )
    set_completer(dataset, dataset_names)
    parser.add_argument(
        "--from-step", metavar="N", type=int, help="continue from the checkpoint of step N (default: the newest)"
    )
    add_device_option(parser)
    add_cache_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.distributed.environment import launched_world
    from avf_training.pretrain_api import PretrainOptions, pretrain

    more = PretrainOptions(
        validation=options.validation,
        probe=options.probe or (),
        probe_dataset=options.probe_dataset,
        from_step=options.from_step,
        device=options.device,
        cache=options.cache,
    )
    run = pretrain(options.shards, options.out, options.recipe, options.set, more)
    if launched_world().rank == 0:
        print(f"{run.folder}: step {run.step}")
        print(f"  curve    {run.folder / 'curve.png'}")
        for path in sorted((run.folder / "reconstructions").glob("step-*.png"))[-1:]:
            print(f"  figure   {path}")
    return 0
