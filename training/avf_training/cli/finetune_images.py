"""avf-train finetune-images: fine-tune an image model to an extractor of features."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import show_progress
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_model_option,
    add_picture_shards_argument,
    add_recipe_option,
    require_files,
)
from avf_training.data.shard_checks import require_shards
from avf_training.distributed.device_choice import resolve_device

EXAMPLES = """\
examples:
  avf-train finetune-images AFFECTNET --task va --model PRETRAINED --recipe image_features --out RUN
  avf-train finetune-images --pictures DIR --labels LABELS --task au --model mae.pth --recipe image_features --out RUN
  avf-train extract SHARDS --extractor vit --weights RUN --out TRACKS
  avf-train finetune-images AFFECTNET --task expr --model efficientnet_b1.pth --recipe sun_b1 --out B1
  avf-train extract SHARDS --extractor efficientnet_b1 --weights B1 --out TRACKS
"""
_DETAILS = """\
Pictures are those of shards, and frames of videos whose labels `frame-labels` wrote; both may be given.
A run that was stopped continues when the same command is started again, with any number of ranks.
The model of the best epoch is in RUN/best/validation, and --weights RUN takes it."""


def add(commands: Any) -> None:
    """Add `finetune_images`."""
    parser = add_command(
        commands,
        "finetune-images",
        _run,
        help="Fine-tune an image model on labelled face pictures, to an extractor of features.",
        details=_DETAILS,
        epilog=EXAMPLES,
    )
    add_picture_shards_argument(parser, required=False)
    parser.add_argument(
        "--task",
        choices=("va", "expr", "au"),
        required=True,
        help="labels that are learned: valence and arousal, expressions, or action units",
    )
    add_model_option(
        parser,
        "run or model of pretrain-images or finetune-images, or a checkpoint of MAE (.pth); of a recipe with a "
        "static network: its weights or those of its backbone (.pth, .pt, .safetensors), or left out",
        required=False,
    )
    add_recipe_option(parser, RECIPES / "finetune_images", "epochs=20")
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        type=local_path,
        help="folder with a folder of numbered face pictures for each video, VIDEO/00001.jpg (with --labels)",
    )
    parser.add_argument(
        "--labels", metavar="LABELS", type=local_path, help="labels of the frames of --pictures, of `frame-labels`"
    )
    add_device_option(parser)
    add_cache_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.data.storage import StorageConfig
    from avf_training.distributed.environment import launched_world
    from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe

    recipe = load_image_finetune_recipe(options.recipe, options.set)
    if (options.pictures is None) != (options.labels is None):
        raise UserError("--pictures DIR and --labels LABELS belong together; give both or none")
    if not options.shards and options.pictures is None:
        raise UserError("no pictures are given; name folders of picture shards, or --pictures DIR with --labels LABELS")
    if options.model is None and recipe.static is None:
        raise UserError(f"--recipe {options.recipe} starts from an image model; give --model MODEL")
    require_files(*(path for path in (options.model, options.pictures, options.labels) if path is not None))
    require_shards(options.shards, "pictures")
    rank = launched_world().rank
    if rank == 0:
        show_progress("loading the model")
    # After what is refused quickly: this loads torch.
    from avf_training.finetuning.model_selection import read_validation, select_epoch
    from avf_training.framewise.labels.tasks import find_task
    from avf_training.framewise.pictures.finetuning import finetune_images
    from avf_training.framewise.pictures.frame_folders import read_labelled_frames
    from avf_training.framewise.pictures.labelled import LabelledPictures
    from avf_training.framewise.pictures.shard_labels import read_labelled_shards

    task = find_task(options.task)
    parts = [read_labelled_shards(options.shards, task, StorageConfig(cache=options.cache))] if options.shards else []
    if options.pictures is not None:
        parts += read_labelled_frames(options.pictures, options.labels, task)
    device = resolve_device(options.device)
    step = finetune_images(recipe, LabelledPictures.join(parts), options.model, options.out, device=device)
    if rank == 0:
        print(f"{options.out}: step {step}")
        best = select_epoch(read_validation(options.out), "validation", task.metric)
        if best is not None:
            print(f"  best     {task.metric} {best[1]:.3f}, step {best[0] + 1}: {options.out / 'best/validation'}")
        print(f"  curve    {options.out / 'curve.png'}")
    return 0
