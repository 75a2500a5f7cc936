"""avf-train datasets, posttrain, finetune, evaluate: the labelled side of the command line."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer
from avf_shards.errors import UserError


def add_commands(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to avf-train's parser."""
    one = command(commands, "datasets", "the labelled data sets: task, labels, folds, metrics, clips", _datasets)
    one.add_argument("names", metavar="NAME|FILE", nargs="*", help="default: all; a YAML file is a row of yours")
    one.add_argument(
        "--shards", metavar="SHARDS", action="append", default=[], help="count their clips beside the published ones"
    )
    one.add_argument("--alignment", action="store_true", help="how their labels meet in the labelled hybrid")
    json_option(one)

    one = command(commands, "posttrain", "post-pre-training on the labelled hybrid for a target's fold", _posttrain)
    one.add_argument("--target", metavar="NAME|FILE", required=True, help="data set whose test fold must stay unseen")
    one.add_argument("--join", metavar="FILE", action="append", default=[], help="rows of yours that join the hybrid")
    _stage_options(one)

    one = command(commands, "finetune", "fine-tune and test on one fold of a data set", _finetune)
    one.add_argument("--dataset", metavar="NAME|FILE", required=True, help="see avf-train datasets")
    one.add_argument("--train-on", metavar="NAME|FILE", help="another data set to train on (its labels aligned)")
    _stage_options(one)

    one = command(commands, "evaluate", "test a finished run again: the answers must be the same", _evaluate)
    one.add_argument("folder", metavar="RUN", type=Path)
    one.add_argument("--shards", metavar="SHARDS", action="append", required=True, help="of the run")
    one.add_argument("--protocol", choices=("validation", "test_best", "last"), default="validation")
    one.add_argument("--segments", metavar="N", type=int, help="windows of a clip (default: the recipe's)")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    json_option(one)


def _stage_options(one: argparse.ArgumentParser) -> None:
    one.add_argument("--fold", metavar="N", type=int, default=1, help="from 1 on (default 1)")
    one.add_argument("--shards", metavar="SHARDS", action="append", required=True, help="again for each corpus")
    one.add_argument("--recipe", metavar="NAME|FILE", required=True, help="of training/recipes, or a file of yours")
    one.add_argument("--from", dest="start", metavar="MODEL|RUN", type=Path, help="saved model, or a finished run")
    one.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of the run; made if missing")
    one.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any field, as in --set epochs=30")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    one.add_argument("--cache", metavar="DIR", type=Path, help="keep there what an address gave")


def resolve_device(asked: str | None) -> str:
    """The device to compute on. Raises UserError for a GPU that is not there."""
    import torch

    device = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has none; leave it out to compute on the CPU")
    return device


def _datasets(options: argparse.Namespace) -> int:
    from avf_training.console.task_tables import print_alignment, print_counts, print_datasets
    from avf_training.data.storage import StorageConfig
    from avf_training.tasks.catalog import DATASETS, find_dataset
    from avf_training.tasks.label_alignment import ALIGNED
    from avf_training.tasks.labelled_clips import read_labelled_clips
    from avf_training.tasks.labelled_shards import LabelledShards

    if options.alignment:
        if not write_answer(options, {name: dict(each) for name, each in ALIGNED.items()}):
            print_alignment()
        return 0
    rows = [find_dataset(name) for name in options.names] or list(DATASETS)
    if not options.shards:
        if not write_answer(options, [asdict(one) for one in rows]):
            print_datasets(rows)
        return 0
    shelf = LabelledShards(options.shards, StorageConfig())
    there = {source.name for source in shelf.corpus.sources}
    found = [read_labelled_clips(shelf, one) for one in rows if options.names or one.source in there]
    if not found:
        raise UserError(f"{', '.join(options.shards)}: hold no labelled source of the table, only {', '.join(there)}")
    values = [
        {"name": one.data.name, "clips": len(one.clips), "per_label": one.per_label, "excluded": dict(one.excluded)}
        | {"published": one.data.clips, "differences": one.differences(), "without_sound": len(one.mute)}
        for one in found
    ]
    if not write_answer(options, values):
        print_counts(values)
    return 0


def _posttrain(options: argparse.Namespace) -> int:
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.task import hybrid_task

    rows = [find_dataset(name) for name in options.join]

    def made(recipe: Any, shelf: Any) -> Any:
        target = find_dataset(options.target)
        return hybrid_task(
            target,
            shelf,
            options.fold,
            modalities=recipe.modalities,
            validation_share=recipe.validation_share,
            joining=rows,
        )

    return _staged(options, "posttrain", made)


def _finetune(options: argparse.Namespace) -> int:
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.task import fold_task, transfer_task

    def made(recipe: Any, shelf: Any) -> Any:
        data = find_dataset(options.dataset)
        more = recipe.modalities, recipe.validation_share
        if options.train_on:
            return transfer_task(find_dataset(options.train_on), data, shelf, *more)
        return fold_task(data, shelf, options.fold, *more)

    return _staged(options, "finetune", made)


def _staged(options: argparse.Namespace, stage: Any, made: Callable[[Any, Any], Any]) -> int:
    from avf_training.config.finetune import load_finetune_recipe
    from avf_training.console.task_tables import print_result
    from avf_training.data.storage import StorageConfig
    from avf_training.distributed.environment import torchrun_environment
    from avf_training.finetuning.finetune import train_stage
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.trainer.learning_curve import draw_learning_curve

    device = resolve_device(options.device)
    recipe = load_finetune_recipe(stage, options.recipe, options.set)
    task = made(recipe, LabelledShards(options.shards, StorageConfig(cache=options.cache)))
    result = train_stage(recipe, task, options.start, options.out, device)
    if torchrun_environment().rank == 0:
        draw_learning_curve(options.out)
        if result.is_file():
            print_result(json.loads(result.read_text("utf-8")), options.out)
        else:
            print(f"{options.out}: stopped and saved; the same line goes on")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from avf_training.console.task_tables import print_reevaluation
    from avf_training.data.storage import StorageConfig
    from avf_training.finetuning.reevaluate import reevaluate_run
    from avf_training.tasks.labelled_shards import LabelledShards

    shelf = LabelledShards(options.shards, StorageConfig())
    found = reevaluate_run(options.folder, shelf, options.protocol, options.segments, resolve_device(options.device))
    if not write_answer(options, found):
        print_reevaluation(found)
    return 0 if found["same"] in (True, None) else 1
