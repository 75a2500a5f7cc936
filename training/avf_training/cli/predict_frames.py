"""avf-train predict-frames: what a sequence model says of every frame, as prediction tracks."""

import argparse
import logging
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_run_argument
from avf_training.distributed.device_choice import resolve_device

log = logging.getLogger(__name__)
_MAX_TOLD = 20  # tracks without predictions; the others are counted

_DETAILS = """\
Predictions are tracks, PREDICTIONS/NAME/SOURCE/VIDEO.parquet: valence and arousal, or the logits of 8 expressions or of
12 action units, of each frame that the tracks have. Predictions that stand there already are left."""


def add(commands: Any) -> None:
    """Add `predict-frames`."""
    parser = add_command(
        commands,
        "predict-frames",
        _run,
        help="Predict every frame of feature tracks with a run of train-frames.",
        details=_DETAILS,
    )
    add_run_argument(parser)
    parser.add_argument(
        "--tracks", metavar="TRACKS", type=local_path, required=True, help="folder that `avf-train extract` wrote"
    )
    parser.add_argument(
        "--out", metavar="PREDICTIONS", type=output_folder, required=True, help="folder of predictions of any models"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the predictions (default: that of RUN)")
    parser.add_argument(
        "--layer",
        choices=("score", "valence", "arousal"),
        help="write what the last layer of this best epoch says, which cross-attention reads, in place of predictions",
    )
    add_device_option(parser)


def _run(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise UserError(f"{options.folder}: no such folder; name a run of `avf-train train-frames`")
    from avf_training.framewise.tracks.frame_rates import warn_of_rates_together
    from avf_training.framewise.tracks.track_folder import TrackFolder
    from avf_training.framewise.training.predict_tracks import TrackPrediction, load_predictor

    name = options.name or options.folder.resolve().name
    device = resolve_device(options.device, float64_for="the standardization of tracks")
    predictor = load_predictor(options.folder, name, device, layer=options.layer)
    prediction = TrackPrediction(predictor, options.tracks, options.out)
    with warn_of_rates_together(), progress_line() as show:
        report = prediction.run(lambda subject: show(f"{subject}: track {prediction.report.written + 1}"))
    for fault in report.faults[:_MAX_TOLD]:
        log.error("%s", fault)
    if len(report.faults) > _MAX_TOLD:
        log.error("and %s more", count_noun(len(report.faults) - _MAX_TOLD, "track"))
    written, skipped = count_noun(report.written, "track"), count_noun(report.skipped, "track")
    folder = TrackFolder(options.out).folder_of(name)
    print(f"{folder}: {written} written ({count_noun(report.frames, 'frame')}), {skipped} there already")
    if report.faults:
        print(f"  {count_noun(len(report.faults), 'track')} without predictions")
    return 1 if report.faults else 0
