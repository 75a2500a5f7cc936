"""avf-train extract: feature tracks of every person of every video, for the frame-level side."""

import argparse
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avf_shards.cli.common import add_command, set_completer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.system.processors import count_usable_cores
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_input_argument, require_files
from avf_training.distributed.device_choice import resolve_device

if TYPE_CHECKING:
    from avf_training.framewise.tracks.extraction import ExtractionReport, OnSubject, TrackExtraction
    from avf_training.framewise.tracks.track_input import TrackInput
    from avf_training.framewise.tracks.vocal_separator import VocalSeparator

    Run = Callable[[Iterable[TrackInput], OnSubject], ExtractionReport]

log = logging.getLogger(__name__)
_MOST_WORKERS = 256

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
        help="its weights: .safetensors, .bin or .pt, a folder of Hugging Face, a model of avf-train; log_mel: none",
    )
    parser.add_argument(
        "--out",
        metavar="TRACKS",
        type=output_folder,
        required=True,
        help="folder of tracks, of any number of extractors",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        type=_track_name,
        help="what the tracks are called, TRACKS/NAME, where one extractor has several weights, "
        "as aff2_va and affn_expr (default: the extractor's name)",
    )
    parser.add_argument(
        "--values",
        choices=("float32", "float16"),
        default="float32",
        help="numbers that tracks store; float16 takes half the space (default: %(default)s)",
    )
    _add_input_kinds(parser)
    add_separator_options(parser)
    add_device_option(parser)
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="threads that decode pictures ahead of the network; 0 decodes between its batches "
        "(default: one for each core that this process may use; with --ray 0)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="workers of a Ray cluster write the tracks ('local' starts one here); its nodes see the same folders",
    )
    parser.add_argument(
        "--jobs", metavar="N", type=int, help="with --ray: workers (default: one for each GPU, or else for each CPU)"
    )


def _add_input_kinds(parser: argparse.ArgumentParser) -> None:
    """Add `--pictures` and `--sound`, and the frames a second of both."""
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--pictures",
        metavar="SOURCE",
        help="the input is a folder with a folder of numbered face pictures for each video, VIDEO/00001.jpg, "
        "and SOURCE names the corpus; the numbers are those of the frames",
    )
    kinds.add_argument(
        "--sound",
        metavar="SOURCE",
        help="the input is a folder of videos or sound files, VIDEO.mp4 or VIDEO.wav, each to be heard from its first "
        "picture to its end, and SOURCE names the corpus",
    )
    parser.add_argument(
        "--fps",
        metavar="N|FILE.csv",
        type=frame_rates,
        default=30.0,
        help="with --pictures and --sound: frames a second, or a table with the columns video and fps "
        "(default: %(default)g)",
    )


def add_separator_options(parser: argparse.ArgumentParser) -> None:
    """Add the command that leaves the voice of whole files."""
    parser.add_argument(
        "--separator",
        metavar="COMMAND",
        help="of whole files: a command that leaves the voice, as 'demucs-vocals {input} {output}', both WAV files",
    )
    parser.add_argument(
        "--separator-version", metavar="TEXT", help="version of that command and its weights, which tracks record"
    )


def _track_name(text: str) -> str:
    """Return a name for tracks, which is that of their folder and stands in recipes."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 to 60 letters, digits, '_', '.' and '-'")
    return text


def _extractor_names() -> list[str]:
    from avf_training.framewise.tracks.added_extractors import list_extractor_names
    from avf_training.framewise.tracks.extractor_names import EXTRACTORS

    return [*EXTRACTORS, *list_extractor_names(EXTRACTORS)]


def _list_extractors() -> str:
    from avf_training.framewise.tracks.extractor_names import EXTRACTORS

    width = max(map(len, EXTRACTORS))
    return "\n".join(["extractors:", *(f"  {name:<{width}}  {about}" for name, about in EXTRACTORS.items())])


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.tracks.extractor_names import check_extractor, check_weights
    from avf_training.inference.clip_input import open_clips, require_input

    check_extractor(options.extractor, options.pictures is not None, options.sound is not None)
    _check_ray(options)
    _check_workers(options)
    parse_separator(options)
    if options.pictures is None and options.sound is None:
        require_input(options.input)
    check_weights(options.extractor, given=options.weights is not None)
    require_files(options.input, *([] if options.weights is None else [options.weights]))
    # After what is refused quickly: these load torch.
    from avf_training.framewise.labels.trained_videos import FILE, find_trained_videos
    from avf_training.framewise.tracks.clips_of_people import clip_inputs
    from avf_training.framewise.tracks.track_folder import TrackFolder

    faults: list[str] = []
    source = options.pictures or options.sound
    files = None if source is None else _list_files(options, source, faults.append)
    extraction = _make_extraction(options, "cpu" if options.ray else None)
    trained = None if options.weights is None else find_trained_videos(options.weights)
    folder = TrackFolder(options.out).folder_of(options.name or options.extractor)
    try:
        with progress_line() as show, _workers(options, extraction) as run_all:

            def run(inputs: "Iterable[TrackInput]") -> None:
                run_all(inputs, lambda subject, number, tracks: show(f"{subject}: track {number} of {tracks}"))

            if files is not None:
                run(files)
            else:
                with open_clips(options.input, options.clips, faults.append) as shards:
                    run(clip_inputs(shards, faults.append, options.input))
    finally:
        # Also where Ctrl-C ends the command: tracks without the record would pass for those of untrained weights.
        has_record = trained is not None and bool(
            trained.videos and (extraction.report.written or extraction.report.skipped)
        )
        if trained is not None and has_record:
            trained.write(folder)
    status = _tell(options, extraction.report, faults)
    if trained is not None and has_record:
        print(
            f"  the weights were trained on {count_noun(len(trained.videos), 'video')}, which models on these tracks "
            f"count as trained on too ({folder / FILE})"
        )
    return status


def _check_ray(options: argparse.Namespace) -> None:
    """Raise UserError for --jobs without --ray, and for clips that other machines would not see.

    Workers have a working folder of their own, so that paths become absolute.
    """
    from avf_training.inference.clip_input import find_shards

    if options.jobs is not None and (options.ray is None or options.jobs < 1):
        raise UserError(f"--jobs {options.jobs}: " + ("works with --ray" if options.ray is None else "is at least 1"))
    is_cut = options.pictures is None and options.sound is None and find_shards(options.input) is None
    if options.ray not in (None, "local") and is_cut and options.clips is None:
        raise UserError(
            f"--ray {options.ray}: clips are cut from these videos first; name a folder for them that all nodes see "
            "with --keep-clips"
        )
    if options.ray is not None:
        for name in ("input", "weights", "out", "clips"):
            path = getattr(options, name)
            setattr(options, name, path and path.absolute())


def _check_workers(options: argparse.Namespace) -> None:
    """Put the default in place of a missing --workers. Raises UserError for a number that cannot be."""
    if options.workers is None:
        # A worker of Ray asks its cluster for one core.
        options.workers = 0 if options.ray is not None else min(count_usable_cores(), _MOST_WORKERS)
    if not 0 <= options.workers <= _MOST_WORKERS:
        raise UserError(f"--workers {options.workers}: is 0 to {_MOST_WORKERS}")


@contextmanager
def _workers(options: argparse.Namespace, extraction: "TrackExtraction") -> "Iterator[Run]":
    """Yield what runs the extraction: this process, or the workers of a Ray cluster, which end with the block."""
    if options.ray is None:
        yield extraction.run
        return
    import ray

    from avf_training.distributed.ray_cluster import connect_ray
    from avf_training.framewise.tracks.ray_extraction import RayExtraction, RayWorkers

    workers = RayWorkers.from_resources(connect_ray(options.ray), options.jobs, options.device)
    try:
        yield RayExtraction(extraction, partial(_make_extraction, options), workers).run
    finally:
        ray.shutdown()


def _make_extraction(options: argparse.Namespace, device: str | None = None) -> "TrackExtraction":
    """Return the extraction with its extractor, on the device of the options where none is given."""
    from avf_training.framewise.tracks.extraction import TrackExtraction
    from avf_training.framewise.tracks.loading import load_extractor

    extractor = load_extractor(options.extractor, options.weights, device or resolve_device(options.device))
    if options.name is not None:
        extractor.identity = replace(extractor.identity, name=options.name)
    separator = parse_separator(options)
    if separator is not None:
        extractor.identity = extractor.identity.add_settings(separator.settings)
    return TrackExtraction(extractor, options.out, options.values, options.workers)


def parse_separator(options: argparse.Namespace) -> "VocalSeparator | None":
    """Return the command of --separator. Raises UserError, also for one beside another input than --sound."""
    if options.separator is None:
        return None
    from avf_training.framewise.tracks.vocal_separator import VocalSeparator  # it loads FFmpeg

    if getattr(options, "sound", True) is None:
        raise UserError("--separator works with --sound, which hears whole files")
    return VocalSeparator.parse(options.separator, options.separator_version)


def _list_files(options: argparse.Namespace, source: str, on_fault: Callable[[str], None]) -> "Iterator[TrackInput]":
    """Return the inputs of --pictures or --sound."""
    from avf_shards.schema.clip_key import check_source_name

    from avf_training.framewise.tracks.picture_folders import picture_inputs, rates_of_videos
    from avf_training.framewise.tracks.sound_files import sound_inputs

    check_source_name(source)
    if not options.input.is_dir():
        holds = "folders of pictures, as VIDEO/00001.jpg" if options.pictures else "videos or sound files"
        raise UserError(f"{options.input}: is no folder; name one of {holds}")
    rates = rates_of_videos(options.fps)
    if options.pictures:
        return picture_inputs(options.input, source, rates, on_fault)
    return sound_inputs(options.input, source, rates, on_fault, parse_separator(options))


def frame_rates(text: str) -> float | Path:
    """Return the number of --fps, or the table that it names."""
    from avf_training.framewise.tracks.frame_rates import is_frame_rate

    try:
        fps = float(text)
    except ValueError:
        path = local_path(text)
        if path.is_file() or path.suffix:  # a table that is not there is told with its path, when it is read
            return path
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is no number of frames a second, and no table with the columns video and fps"
        ) from None
    if not is_frame_rate(fps):
        raise argparse.ArgumentTypeError(f"{text[:80]} is no number of frames a second, above 0 and below 1000")
    return fps


def _tell(options: argparse.Namespace, report: "ExtractionReport", faults: list[str]) -> int:
    """Print what became of the tracks, and return the exit status."""
    faults += report.faults
    for fault in faults:
        log.error("%s", fault)
    written, skipped = count_noun(report.written, "track"), count_noun(report.skipped, "track")
    folder = options.out / (options.name or options.extractor)
    print(f"{folder}: {written} written ({count_noun(report.frames, 'vector')}), {skipped} there already")
    if faults:
        print(f"  {count_noun(len(faults), 'input')} without a track; the same command tries them again")
    return 1 if faults else 0
