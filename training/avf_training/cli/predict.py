"""avf-train predict: the emotions of people in clips over time."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, local_path, output_file, write_answer

from avf_training.cli.options import add_device_option, add_model_option, resolve_device
from avf_training.data.window_length import HOP_S


def add(commands: Any) -> None:
    """Add `predict`."""
    parser = add_command(
        commands, "predict", _run, help="Predict the emotions of each person over time, and draw them."
    )
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=local_path,
        help="folder of `avf-curate clip VIDEO --out DIR`, or of packed shards",
    )
    add_model_option(parser, "fine-tuned model or its run")
    parser.add_argument(
        "--out", metavar="FILE.png", type=output_file, help="file of the figure (default: DIR/predicted.png)"
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
    from avf_training.console.task_tables import print_predictions
    from avf_training.inference.prediction_plot import draw_predictions
    from avf_training.inference.predictions import predict

    clips = predict(options.folder, options.model, options.hop, resolve_device(options.device))
    out = options.out or options.folder / "predicted.png"
    drawn = draw_predictions(options.folder, clips, out)
    values = [asdict(clip) | {"mean": clip.mean, "best": clip.best} for clip in clips]
    if not write_answer(options, values):
        print_predictions(clips)
        print(f"  figure  {out}" + (f" (the first {drawn} of {len(clips)} clips)" if drawn < len(clips) else ""))
    return 0
