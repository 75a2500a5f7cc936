"""avf-train extract: feature tracks of every person of every video, for the frame-level side."""

import argparse
import logging
from typing import Any

from avf_shards.cli.common import add_command, local_path, output_folder, set_completer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_input_argument, require_files, resolve_device

log = logging.getLogger(__name__)

_DETAILS = """\
A track is one Parquet file, TRACKS/EXTRACTOR/SOURCE/VIDEO.parquet, with a vector for each frame.
A track that stands there already is not computed again, so that the same command goes on after a stop.
Of a video, people and sound are taken where a face is seen; --keep-clips saves cutting them for each extractor."""


def add(commands: Any) -> None:
    """Add `extract`."""
    parser = add_command(
        commands,
        "extract",
        _run,
        help="Write feature tracks: what an extractor says of each frame of each video.",
        details=_DETAILS,
        epilog=_list_extractors(),
    )
    add_input_argument(parser)
    name = parser.add_argument("--extractor", metavar="NAME", required=True, help="extractor; the list is below")
    set_completer(name, _extractor_names)
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=local_path,
        required=True,
        help="its weights: .safetensors, .bin or .pt, a folder of Hugging Face, or a model of avf-train",
    )
    parser.add_argument(
        "--out",
        metavar="TRACKS",
        type=output_folder,
        required=True,
        help="folder of tracks, of any number of extractors",
    )
    parser.add_argument(
        "--values",
        choices=("float32", "float16"),
        default="float32",
        help="numbers that tracks store; float16 takes half the space (default: %(default)s)",
    )
    add_device_option(parser)


def _extractor_names() -> list[str]:
    from avf_training.framewise.tracks.extractor_names import EXTRACTORS

    return list(EXTRACTORS)


def _list_extractors() -> str:
    from avf_training.framewise.tracks.extractor_names import EXTRACTORS

    width = max(map(len, EXTRACTORS))
    return "\n".join(["extractors:", *(f"  {name:<{width}}  {about}" for name, about in EXTRACTORS.items())])


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.tracks.extractor_names import check_extractor
    from avf_training.inference.clip_input import open_clips, require_input

    check_extractor(options.extractor)
    require_input(options.input)
    require_files(options.weights)
    # After what is refused quickly: these load torch.
    from avf_training.framewise.tracks.extraction import TrackExtraction
    from avf_training.framewise.tracks.loading import load_extractor

    extractor = load_extractor(options.extractor, options.weights, resolve_device(options.device))
    faults: list[str] = []
    with open_clips(options.input, options.clips, faults.append) as shards, progress_line() as show:
        extraction = TrackExtraction(shards, extractor, options.out, values=options.values, videos=options.input)
        report = extraction.run(lambda subject, number, videos: show(f"{subject}: video {number} of {videos}"))
    faults += report.faults
    for fault in faults:
        log.error("%s", fault)
    written, skipped = count_noun(report.written, "track"), count_noun(report.skipped, "track")
    print(f"{options.out / options.extractor}: {written} written ({report.frames:,} vectors), {skipped} there already")
    if faults:
        print(
            f"  {count_noun(len(faults), 'video')} without a track, or without all; the same command tries them again"
        )
    return 1 if faults else 0
