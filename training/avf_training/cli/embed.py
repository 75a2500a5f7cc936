"""avf-train embed: features of every window of every clip."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import ending_of
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_input_argument, add_model_option
from avf_training.data.window_length import WINDOW_S
from avf_training.distributed.device_choice import resolve_device
from avf_training.inference.prediction_kinds import FEATURES


def add(commands: Any) -> None:
    """Add `embed`."""
    parser = add_command(commands, "embed", _run, help="Write the features of every window of every clip as Parquet.")
    add_input_argument(parser)
    add_model_option(parser, "pre-trained or fine-tuned model, or its run")
    parser.add_argument(
        "--out", metavar="FILE.parquet", type=ending_of(FEATURES), required=True, help="file of the features"
    )
    parser.add_argument(
        "--kinds",
        metavar="KIND,...",
        help="features to write: video, audio, fused, regions_video, regions_audio, frames, the mean of each layer: "
        "layers_video, layers_audio (default: all but the layers)",
    )
    parser.add_argument(
        "--hop",
        metavar="S",
        type=float,
        default=WINDOW_S,
        help="seconds from one window to the next (default: %(default)g)",
    )
    add_device_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.data.window_length import check_hop
    from avf_training.inference.clip_input import open_clips, require_input
    from avf_training.inference.feature_kinds import KINDS, check_kinds
    from avf_training.trainer.saved_model import require_model

    kinds = options.kinds.split(",") if options.kinds else KINDS
    check_kinds(kinds)
    check_hop(options.hop)
    require_input(options.input)
    require_model(options.model)
    # After what is refused quickly: these load torch.
    from avf_training.inference.embeddings import embed_shards, write_features
    from avf_training.inference.feature_model import FeatureModel

    model = FeatureModel(options.model, resolve_device(options.device))  # before the clips: they may take minutes
    with open_clips(options.input, options.clips) as shards, progress_line() as show:
        table = embed_shards(
            shards,
            model,
            kinds,
            options.hop,
            lambda video, number, clips: show(f"{video}: clip {number} of {clips}"),
            videos=options.input,
        )
    write_features(table, options.out, options.model)
    windows, clips = count_noun(table.num_rows, "window"), count_noun(len(set(table["key"].to_pylist())), "clip")
    empty = [kind for kind in kinds if table.num_rows and table[kind].null_count == table.num_rows]
    print(f"{options.out}: {windows} of {clips}; {', '.join(kind for kind in kinds if kind not in empty) or 'nothing'}")
    if empty:
        print(f"  the model does not have {', '.join(empty)}: empty columns")
    return 0
