"""avf-train submission: predictions as a file of the challenge, a row for each picture of the official list."""

import argparse
import logging
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.paths import local_path, own_file
from avf_shards.system.own_files import OwnFile
from avf_shards.text import count_noun

from avf_training.cli.options import require_files

log = logging.getLogger(__name__)
_DETAILS = """\
Every row of the list gets an answer, in the order of the list: valence and arousal in -1..1, the number of the
expression, or 0 and 1 for each action unit. A frame without a prediction has that of the frame before it, and before
the first one that of the first; what was repeated is told for each video. A video without any prediction is refused, or
with --missing-videos typical gets the mean, the most frequent class, or each action unit as it mostly is."""


def add(commands: Any) -> None:
    """Add `submission`."""
    parser = add_command(
        commands,
        "submission",
        _run,
        help="Write predictions for frames as a file of the ABAW challenge.",
        details=_DETAILS,
        epilog="example:\n  avf-train submission --task expr --predictions PREDICTIONS --sample list.txt --out out.txt",
    )
    add_task_option(parser)
    add_predictions_options(parser)
    parser.add_argument(
        "--sample",
        metavar="FILE",
        type=local_path,
        required=True,
        help="the official list: a header, then a row VIDEO/00001.jpg, for each picture",
    )
    parser.add_argument("--out", metavar="FILE", type=own_file(_submission), required=True, help="file to write")
    parser.add_argument("--source", metavar="SOURCE", help="corpus of the list, where predictions are of several")
    parser.add_argument(
        "--missing-videos",
        choices=("refuse", "typical"),
        default="refuse",
        help="what becomes of a video of the list without a prediction (default: %(default)s)",
    )
    add_json_option(parser)


def add_task_option(parser: argparse.ArgumentParser) -> None:
    """Add `--task`, in the short and in the long spelling."""
    parser.add_argument(
        "--task",
        metavar="{va,expr,au}",
        required=True,
        type=_task_name,
        help="va or valence_arousal, expr or expressions, au or action_units",
    )


def add_predictions_options(parser: argparse.ArgumentParser) -> None:
    """Add `--predictions` and `--name`."""
    parser.add_argument(
        "--predictions",
        metavar="PREDICTIONS",
        type=local_path,
        required=True,
        help="folder of predictions, NAME/SOURCE/VIDEO.parquet",
    )
    parser.add_argument("--name", metavar="NAME", help="which of them (default: the only one)")


def _submission() -> OwnFile:
    from avf_training.framewise.submission import SUBMISSION

    return SUBMISSION


def _task_name(text: str) -> str:
    from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES

    for name, task in TASKS_OF_FRAMES.items():
        if text.lower() in (name, task.record_name):
            return name
    raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(TASKS_OF_FRAMES)})")


def _run(options: argparse.Namespace) -> int:
    require_files(options.sample)
    from avf_shards.errors import UserError

    from avf_training.framewise.labels.tasks import find_task
    from avf_training.framewise.labels.trained_videos import split_trained
    from avf_training.framewise.predictions.challenge_answers import fill_missing_videos, list_answers
    from avf_training.framewise.predictions.prediction_set import choose_name, read_prediction_set
    from avf_training.framewise.submission import read_image_list, write_submission

    task = find_task(options.task)
    listed, images = read_image_list(options.sample)
    if listed != task.record_name:
        raise UserError(f"{options.sample}: is the list of {listed}, not of {task.record_name}; name its own --task")
    name = choose_name(options.predictions, options.name)
    predictions = read_prediction_set(options.predictions, name, task)
    answers = list_answers(predictions, options.source)
    asked = {image.video for image in images}
    learned, _ = split_trained(predictions.trained, [each for each in predictions.tracks if each.video_id in asked])
    missing: list[str] = []
    if options.missing_videos == "typical":
        answers, missing = fill_missing_videos(task, answers, asked)
    statements = write_submission(options.out, options.sample, answers)
    lines = [f"{each}" for each in statements if each.video not in missing and (each.repeated or each.cut)]
    trained = sorted({subject.video_id for subject in learned})
    lines += [f"{video}: the model was trained on it, so its answer is none for a new video" for video in trained]
    lines += [f"{video}: no prediction, the typical answer in every row" for video in missing]
    repeated = sum(each.repeated for each in statements if each.video not in missing)
    lines.append(
        f"{options.out}: {count_noun(len(images), 'row')} of {count_noun(len(statements), 'video')}, "
        f"{repeated:,} repeated, {count_noun(len(missing), 'video')} without a prediction"
    )
    values = {"out": str(options.out), "rows": len(images), "videos": [vars(each) for each in statements]}
    print_answer(options, values | {"typical": missing, "trained": trained}, "\n".join(lines))
    return 0
