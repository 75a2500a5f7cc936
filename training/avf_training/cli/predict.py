"""avf-train predict: what a fine-tuned model says of people in videos over time, such as emotions or p(fake)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import ending_of
from avf_shards.errors import UserError
from avf_shards.system.own_files import require_replaceable

from avf_training.cli.options import (
    add_device_option,
    add_input_argument,
    add_models_option,
)
from avf_training.data.window_length import HOP_S
from avf_training.distributed.device_choice import resolve_device
from avf_training.inference.prediction_kinds import FIGURES, TABLES

_CONTENTS = {".csv": "table", ".json": "numbers", ".srt": "subtitles", ".vtt": "subtitles", ".eaf": "ELAN"}
_DETAILS = """\
The ending of --out decides the format: a figure (.png, .jpg, .pdf, .svg), a table with a row for each window (.csv),
the same with means as JSON (.json), subtitles (.srt, .vtt), or a document of the annotation program ELAN (.eaf).

Windows overlap where --hop is shorter than a window (2.56 s). In subtitles, in ELAN and in the summary, the label of a
time is the class with the highest mean probability over the windows that cover it; neighbours with the same label are
one segment, and a segment's probability is the mean over its time. Models of dimensions give mean values instead. A
detector of fakes says p(fake) of each window, and of the file as windows were pooled in its training; where a clip's
record knows what is forged, the figure and the JSON show it.

Several models, or the folder of `finetune --fold all`, predict the mean of their probabilities (of values, for
dimensions). They must have the same outputs and see as many frames.

Times are seconds from the start of the video's file, also for clips and shards of it.

Subtitles and documents of ELAN hold one video. For several videos, --out talks.srt makes a folder talks with one file
for each, by the video's name. If there is such a folder, earlier predictions of the same names are replaced, and other
files stay.

In tables, line breaks of names and labels are spaces, and a text that a spreadsheet would take for a formula has an
apostrophe before it."""


def add(commands: Any) -> None:
    """Add `predict`."""
    parser = add_command(
        commands,
        "predict",
        _run,
        help="Predict the emotions of each person in videos over time, or how likely a fake is, and draw them.",
        details=_DETAILS,
        epilog="example:\n  avf-train predict talk.mp4 --model RUN --out talk.srt --out talk.png",
    )
    add_input_argument(parser)
    add_models_option(
        parser, "fine-tuned model, its run, or a folder with a run for each fold; repeat to average several"
    )
    parser.add_argument(
        "--each-model",
        action="store_true",
        help="also write what each of several models predicts, in .csv, .json and --json",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=ending_of(FIGURES | TABLES),
        action="append",
        help="file to write: .png, .jpg, .pdf, .svg, .csv, .json, .srt, .vtt or .eaf; repeat for more "
        "(default: a figure, NAME.predicted.png in this folder)",
    )
    parser.add_argument(
        "--hop",
        metavar="S",
        type=float,
        default=HOP_S,
        help="seconds from one window to the next (default: %(default)g)",
    )
    add_device_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.data.window_length import check_hop
    from avf_training.inference.clip_input import open_clips, require_input
    from avf_training.inference.prediction_files import predictions_as_values, require_outputs, write_predictions_file
    from avf_training.trainer.saved_model import list_models, require_fine_tuned

    check_hop(options.hop)
    require_input(options.input)
    models = list_models(options.model)
    for model in models:
        require_fine_tuned(model)
    files = options.out or [Path(f"{options.input.resolve().stem}.predicted.png")]
    for file in files:
        require_replaceable(file, (FIGURES | TABLES)[file.suffix.lower()])
    _check_each_model(options, len(models), files)
    require_outputs(files, options.input)
    # After what is refused quickly: these load torch.
    from avf_training.console.task_tables import print_predictions
    from avf_training.inference.prediction_plot import draw_predictions
    from avf_training.inference.predictions import load_fine_tuned, predict_shards

    loaded = load_fine_tuned(models, resolve_device(options.device))  # before the clips: they may take minutes
    lines = [f"  {'mean of':<10}{len(models)} models: {', '.join(map(str, models))}"] if len(models) > 1 else []
    with open_clips(options.input, options.clips) as shards:
        with progress_line() as show:
            people = predict_shards(
                shards,
                loaded,
                options.hop,
                lambda video, number, clips: show(f"{video}: clip {number} of {clips}"),
                videos=options.input,
            )
        for file in files:
            if file.suffix.lower() in FIGURES:
                drawn = draw_predictions(shards, people, file)
                first = f" (the first {drawn} of {len(people)} people)" if drawn < len(people) else ""
                lines.append(f"  {'figure':<10}{file}{first}")
            else:
                written = write_predictions_file(people, file, options.input, each_model=options.each_model)
                lines.append(f"  {_CONTENTS[file.suffix.lower()]:<10}{written}{'/' if written.is_dir() else ''}")
    if not write_answer(options, predictions_as_values(people, each_model=options.each_model)):
        print_predictions(people)
        print("\n".join(lines))
    return 0


def _check_each_model(options: argparse.Namespace, models: int, files: Sequence[Path]) -> None:
    """Raise UserError where --each-model would write nothing."""
    if not options.each_model:
        return
    if models == 1:
        raise UserError("--each-model: there is a single model; name several with --model, or leave the option out")
    if options.json is None and not any(file.suffix.lower() in (".csv", ".json") for file in files):
        raise UserError(
            "--each-model: figures, subtitles and ELAN have no room for it; add --out FILE.csv or FILE.json"
        )
