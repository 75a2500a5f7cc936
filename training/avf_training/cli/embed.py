"""avf-train embed: features of every window of every clip."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_input_argument, add_model_option, ending_of, resolve_device
from avf_training.data.window_length import WINDOW_S


def add(commands: Any) -> None:
    """Add `embed`."""
    parser = add_command(commands, "embed", _run, help="Write the features of every window of every clip as Parquet.")
    add_input_argument(parser)
    add_model_option(parser, "pre-trained or fine-tuned model, or its run")
    parser.add_argument(
        "--out", metavar="FILE.parquet", type=ending_of(".parquet"), required=True, help="file of the features"
    )
    parser.add_argument(
        "--kinds",
        metavar="KIND,...",
        help="features to write: video, audio, fused, regions_video, regions_audio, frames (default: all)",
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
    from avf_training.inference.clip_input import require_input
    from avf_training.inference.embeddings import KINDS, embed_clips, write_features

    require_input(options.input)
    kinds = options.kinds.split(",") if options.kinds else KINDS
    device = resolve_device(options.device)
    table = embed_clips(options.input, options.model, kinds, options.hop, device, keep=options.clips)
    write_features(table, options.out, options.model)
    windows, clips = count_noun(table.num_rows, "window"), count_noun(len(set(table["key"].to_pylist())), "clip")
    print(f"{options.out}: {windows} of {clips}; {', '.join(kinds)}")
    return 0
