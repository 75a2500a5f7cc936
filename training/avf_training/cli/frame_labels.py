"""avf-train frame-labels: labels of frames as files that training and scoring read."""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.cli.extract import frame_rates

if TYPE_CHECKING:
    from avf_training.framewise.labels.label_track import LabelTrack

log = logging.getLogger(__name__)
_MAX_TOLD = 20  # labels that could not be written, as others stand there; faults of the input are all printed

_DETAILS = """\
INPUT is shards whose clips have labels of frames, Aff-Wild2 or its folder of annotations, or a CSV table or a folder of
them, with the columns video, frame (or time_s) and those of a task: valence and arousal, expression, AU1 to AU26; and
split, person, group and scene, where they are known. Other columns are not read, and are named.
Labels and feature tracks are joined by the numbers of frames: both must be of the same videos and frames a second."""


def add(commands: Any) -> None:
    """Add `frame-labels`."""
    parser = add_command(
        commands, "frame-labels", _run, help="Write the labels of frames, a file for each video and task.",
        details=_DETAILS,
    )  # fmt: skip
    parser.add_argument("input", metavar="INPUT", type=local_path, help="shards, annotations of Aff-Wild2, or tables")
    parser.add_argument("--out", metavar="LABELS", type=output_folder, required=True, help="folder of labels")
    parser.add_argument(
        "--source",
        metavar="NAME",
        default="aff_wild2",
        help="name of the corpus, as the tracks have it; shards say theirs (default: %(default)s)",
    )
    parser.add_argument(
        "--fps",
        metavar="N|FILE.csv",
        type=frame_rates,
        help="frames a second of annotations and tables, or a table with the columns video and fps; shards say theirs",
    )

    parser.add_argument(
        "--scenes",
        metavar="FILE.csv",
        type=local_path,
        help="table with the columns video and scene (reaction or other), which the labels then say, as "
        "`frame-folds --scenes` proposes it; videos that it lacks keep what the input says",
    )


def _run(options: argparse.Namespace) -> int:
    if not options.input.exists():
        raise UserError(f"{options.input}: no such file or folder; name shards, annotations, or a table of labels")
    from avf_training.framewise.labels.label_report import write_labels

    faults: list[str] = []
    tracks = _read(options, faults)
    if options.scenes is not None:
        tracks = _with_scenes(tracks, options.scenes)
    report, unwritten = write_labels(options.out, tracks)
    if not (report.lines() or faults or unwritten):
        raise UserError(f"{options.input}: holds no label of a frame")
    for fault in (*faults, *unwritten[:_MAX_TOLD]):
        log.error("%s", fault)
    if len(unwritten) > _MAX_TOLD:
        log.error("and %s more", count_noun(len(unwritten) - _MAX_TOLD, "fault"))
    faults += unwritten
    print(f"{options.out}:")
    for line in report.lines():
        print(f"  {line}")
    if faults:
        outcome = "what is right was written" if report.lines() else "no labels were written"
        print(f"  {count_noun(len(faults), 'fault')} in the labels; {outcome}")
    return 1 if faults else 0


def _read(options: argparse.Namespace, faults: list[str]) -> "Iterator[LabelTrack]":
    from avf_shards.schema.clip_key import check_source_name

    from avf_training.framewise.labels.annotation_folder import (
        AnnotationSource,
        find_annotations,
        read_annotation_folder,
    )
    from avf_training.framewise.labels.label_tables import read_label_tables
    from avf_training.framewise.labels.shard_labels import read_shard_labels
    from avf_training.inference.clip_input import find_shards

    shards = find_shards(options.input) if options.input.is_dir() else None
    if shards is not None:
        return read_shard_labels(shards, faults.append)
    check_source_name(options.source)
    source = AnnotationSource(source=options.source, fps_of=_rates(options), on_fault=faults.append)
    if options.input.is_dir() and find_annotations(options.input) is not None:
        return read_annotation_folder(options.input, source)
    return read_label_tables(options.input, source)


def _with_scenes(tracks: "Iterator[LabelTrack]", table: Path) -> "Iterator[LabelTrack]":
    """Return labels with the scenes of a table; after the last, log which videos only one of both has.

    Raises UserError for a wrong table, before any label is read.
    """
    from avf_training.framewise.ensemble.scenes import read_scenes, warn_of_unmatched

    scenes = read_scenes(table)

    def add_scenes() -> "Iterator[LabelTrack]":
        labelled = set()
        for track in tracks:
            video = track.subject.video_id
            labelled.add(video)
            yield replace(track, scene=scenes[video].scene) if video in scenes else track
        warn_of_unmatched(table, scenes, labelled)

    return add_scenes()


def _rates(options: argparse.Namespace) -> Any:
    """Return the function that says the frames a second of a video."""
    if options.fps is None:
        raise UserError("--fps is missing: annotations number frames, and do not say how many a second has")
    from avf_training.framewise.tracks.picture_folders import rates_of_videos

    return rates_of_videos(options.fps)
