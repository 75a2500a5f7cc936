"""avf-train report-frames: the page of a frame-level task, beside the papers' results."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import local_path, output_folder

from avf_training.cli.submission import add_predictions_options, add_task_option

_DETAILS = """\
OUT/TASK.html is one file that needs no network: scores with intervals over people beside the published ones, tables of
each output, curves of videos with the truth and every member, what was repeated, interpolated or missing, and which of
the 32 protocol items ran. OUT/TASK.json has the same numbers.

Of an ensemble, the videos that are new to its members are scored, and its members stand beside it; of a single model,
those of the validation set. Videos of the test set stand in a table of their own. Other sets are named by --split.
Models and videos without a score are named with the reason."""


def add(commands: Any) -> None:
    """Add `report-frames`."""
    parser = add_command(
        commands,
        "report-frames",
        _run,
        help="Write the page of a model's or an ensemble's predictions for frames, beside the papers' results.",
        details=_DETAILS,
    )
    add_task_option(parser)
    add_predictions_options(parser)
    parser.add_argument(
        "--compare",
        metavar="NAME",
        action="append",
        default=[],
        help="further predictions of the folder to stand beside; repeat for more (default: an ensemble's members)",
    )
    parser.add_argument("--labels", metavar="LABELS", type=local_path, required=True, help="labels of frames")
    parser.add_argument(
        "--split", choices=("train", "validation", "test", "all"), help="set of the owners whose videos are scored"
    )
    parser.add_argument(
        "--video",
        metavar="VIDEO",
        action="append",
        default=[],
        help="video to draw over time, of the test set too; repeat for more (default: 24 from the lowest to the "
        "highest score)",
    )
    parser.add_argument("--out", metavar="OUT", type=output_folder, required=True, help="folder of the report")


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.labels.tasks import find_task
    from avf_training.framewise.predictions.prediction_set import choose_name, read_prediction_set

    task = find_task(options.task)
    name = choose_name(options.predictions, options.name)
    from avf_training.framewise.combination.record import read_record
    from avf_training.framewise.predictions.truth_join import read_labels
    from avf_training.framewise.report.page import ReportInputs, summarize, write_frame_report
    from avf_training.framewise.tracks.frame_rates import warn_of_rates_together
    from avf_training.framewise.tracks.track_folder import TrackFolder

    record = read_record(TrackFolder(options.predictions).folder_of(name))
    there = TrackFolder(options.predictions).extractors()
    members = [] if record is None else [member.name for member in record.members if member.name in there]
    names = [name, *(options.compare or members)]
    inputs = ReportInputs(
        task=task,
        sets=[read_prediction_set(options.predictions, each, task) for each in dict.fromkeys(names)],
        labels=read_labels(options.labels, task),
        record=record,
        absent=[]
        if record is None or options.compare
        else [member.name for member in record.members if member.name not in there],
        split=options.split,
        curves=options.video,
    )
    with warn_of_rates_together():
        report, page = write_frame_report(inputs, options.out)
    print("\n".join([*summarize(report, task), str(page)]))
    return 0
