"""avf-train train-frames: train a sequence model on feature tracks and labels of frames."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import show_progress
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.cli.options import RECIPES, add_device_option, add_recipe_option
from avf_training.distributed.device_choice import resolve_device

_DETAILS = """\
The SUN team's temporal models v1 and v3 to v8, their audio-visual cross-attention and kernel machine, and NetEase's
fusion transformer. A run that was killed goes on with the same command, and ends with the same bits."""


def add(commands: Any) -> None:
    """Add `train-frames`."""
    parser = add_command(
        commands,
        "train-frames",
        _run,
        help="Train a sequence model on feature tracks and labels of frames.",
        details=_DETAILS,
    )
    parser.add_argument(
        "--tracks", metavar="TRACKS", type=local_path, required=True, help="folder that `avf-train extract` wrote"
    )
    parser.add_argument(
        "--labels", metavar="LABELS", type=local_path, required=True, help="folder that `avf-train frame-labels` wrote"
    )
    parser.add_argument("--task", choices=("va", "expr", "au"), required=True, help="what is predicted")
    add_recipe_option(parser, RECIPES / "frames", "visual=[vit]")
    parser.add_argument("--network", metavar="NAME", help="network in place of the recipe's, as temporal_v5")
    parser.add_argument("--out", metavar="RUN", type=output_folder, required=True, help="folder of the run")
    add_device_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.training.frame_recipe import load_frame_recipe

    model = [f"model={options.network}"] if options.network else []
    recipe = load_frame_recipe(options.recipe, [*options.set, *model])
    for folder in (options.tracks, options.labels):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    show_progress("loading the tracks")
    # After what is refused quickly: this loads torch.
    from avf_training.distributed.environment import launched_world
    from avf_training.framewise.labels.tasks import find_task
    from avf_training.framewise.training.frame_result import read_result
    from avf_training.framewise.training.train_frames import FrameTrainingData, run_frame_training

    data = FrameTrainingData(tracks=options.tracks, labels=options.labels, task=find_task(options.task))
    path = run_frame_training(
        recipe, data, options.out, resolve_device(options.device, float64_for="the standardization of tracks")
    )
    show_progress("")
    if launched_world().rank:  # the first process speaks for all
        return 0
    if path is None:
        print(f"{options.out}: stopped and saved; the same command goes on")
        return 0
    result = read_result(options.out)
    print(f"{options.out}: {result['model']}, {result['task']}, protocol {result['protocol']}")
    for name, best in result["best"].items():
        score = "undefined" if best.get("score") is None else f"{best['score']:.4f}"
        seen = " of videos that were trained on" if result.get("trained_on") == "all" else ""
        print(f"  {name:<9}{best['metric']} {score}{seen}  {options.out / best['folder']}")
    validation = result.get("validation", {})
    for name, words in (("repeated", "with the prediction of the frame before"), ("left_out", "not scored")):
        if validation.get(name):  # runs of earlier versions do not say it
            print(f"  {count_noun(validation[name], 'frame')} of validation without a prediction: {words}")
    for absent in result.get("absent_classes", []):
        print(f"  no training frame of {absent}")
    if result.get("skipped"):
        print(f"  {count_noun(len(result['skipped']), 'labelled video')} left out; {path} names them")
    if result.get("tracks_without_labels"):
        count = len(result["tracks_without_labels"])
        print(f"  {count_noun(count, 'track')} {'has' if count == 1 else 'have'} no labels")
    return 0
