"""avf-train pretrain: train a masked autoencoder on shards."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, output_folder, set_completer
from avf_shards.cli.logging_setup import show_progress
from avf_shards.errors import UserError

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_recipe_option,
    add_shards_option,
    dataset_names,
    require_shards,
)
from avf_training.distributed.device_choice import resolve_device

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
    from avf_training.config.pretrain import load_recipe
    from avf_training.data.storage import StorageConfig
    from avf_training.distributed.environment import launched_world

    recipe = load_recipe(options.recipe, options.set)
    _check_probe(options, recipe)
    require_shards([options.shards, *([options.validation] if options.validation else []), *(options.probe or [])])
    rank = launched_world().rank
    if rank == 0:
        show_progress("loading the model")
    # After what is refused quickly: this loads torch.
    from avf_training.pretraining.pretrain import PretrainingData, run_pretraining

    device = resolve_device(options.device)
    data = PretrainingData(
        shards=options.shards,
        validation=options.validation,
        storage=StorageConfig(cache=options.cache),
        probe=_make_probe(options, recipe, device),
    )
    step = run_pretraining(recipe, data, options.out, device=device, from_step=options.from_step)
    if rank == 0:
        print(f"{options.out}: step {step}")
        print(f"  curve    {options.out / 'curve.png'}")
        for path in sorted((options.out / "reconstructions").glob("step-*.png"))[-1:]:
            print(f"  figure   {path}")
    return 0


def _check_probe(options: argparse.Namespace, recipe: Any) -> None:
    """Refuse half a probe, a probe that never runs and an unknown data set, all without torch. Raises UserError."""
    if not options.probe and not options.probe_dataset:
        return
    if not options.probe or not options.probe_dataset:
        raise UserError("--probe SHARDS and --probe-dataset NAME belong together; give both or none")
    if not recipe.eval_every:
        raise UserError("--probe scores every eval_every steps, and that is 0; --set eval_every=1000")
    if recipe.steps is not None:  # where epochs decide, the length of the run is known with the shards
        from avf_training.config.pretrain import refuse_idle_probe

        refuse_idle_probe(recipe.eval_every, recipe.steps)
    from avf_training.tasks.catalog import find_dataset

    find_dataset(options.probe_dataset)


def _make_probe(options: argparse.Namespace, recipe: Any, device: str) -> Any:
    """Return the function that probes the model as training goes on; None without --probe. Raises UserError."""
    if not options.probe:
        return None
    from avf_training.data.storage import StorageConfig
    from avf_training.finetuning.frozen import probe_callback
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.tasks.task import fold_task

    config = recipe.model_config()
    shards = LabelledShards(options.probe, StorageConfig(cache=options.cache))
    task = fold_task(find_dataset(options.probe_dataset), shards, 1, config.modalities, 0.0)
    return probe_callback(config, task, device)
