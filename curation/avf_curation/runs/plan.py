"""The plan's table: every input of a run, known by name, size and time alone, sorted and cut into units."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from avf_shards.errors import UserError
from avf_shards.schema.clip_key import check_source_name, make_video_prefix
from avf_shards.stores.addresses import is_store_address
from avf_shards.stores.opening import open_location

from avf_curation.recipe import PlanConfig
from avf_curation.runs.plan_table import SCHEMA, encode_picture_input
from avf_curation.sources.registry import corpus_reader
from avf_curation.sources.stored_inputs import is_read_by_unit
from avf_curation.sources.types import Video, utf8_name


def parse_sources(arguments: Iterable[str]) -> dict[str, Path]:
    """Return name -> folder of `NAME=DIR` arguments.

    Raises UserError for bad or duplicate names and for folders that are missing or cannot be read.
    """
    sources: dict[str, Path] = {}
    for text in arguments:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UserError(f"--source {text}: expected NAME=DIR, as in --source interviews=/data/interviews")
        corpus_reader(name)  # refuses a misspelt corpus before the rule for names does, which could not name the corpus
        check_source_name(name)
        if name in sources:
            raise UserError(f"--source {name}: given twice; one name is one source")
        if "://" in folder and not is_store_address(folder):
            raise UserError(
                f"--source {text}: is an address of no kind that inputs are read from; name a folder, or an address "
                "that begins with s3://, gs:// or az://"
            )
        root = open_location(folder, is_read_by_unit)
        if is_store_address(folder) and not (root.is_dir() and any(root.iterdir())):
            raise UserError(f"--source {name}={folder}: no object lies below this address")
        if not root.is_dir():
            problem = "is a file; name the folder that it is in" if root.exists() else "no such folder"
            raise UserError(f"--source {name}={folder}: {problem}")
        if not os.access(root, os.R_OK | os.X_OK):
            raise UserError(
                f"--source {name}={folder}: no permission to read the folder; allow reading and entering it"
            )
        sources[name] = root
    if not sources:
        raise UserError("no --source given; as in --source interviews=/data/interviews")
    return sources


def cut_units(videos: list[Video], config: Mapping[str, PlanConfig]) -> list[int]:
    """Return the unit of each video.

    `videos` are sorted by source, group id and video id. A unit holds videos of one source, and a group is never
    split: a group that exceeds the limits is one large unit. The units depend on the inputs and the settings alone,
    never on the number of workers.
    """
    units: list[int] = []
    unit, unit_videos, unit_bytes = -1, 0, 0
    source = None
    for (group_source, _), members in itertools.groupby(videos, lambda video: (video.source, video.group_id)):
        sizes = [video.size_bytes for video in members]
        limits = config[group_source]
        most_videos = min(limits.unit_videos, -(-len(videos) // limits.min_units))
        full = unit_videos + len(sizes) > most_videos or unit_bytes + sum(sizes) > limits.unit_mb * 1e6
        if full or group_source != source:
            unit, unit_videos, unit_bytes = unit + 1, 0, 0
        units += [unit] * len(sizes)
        unit_videos, unit_bytes, source = unit_videos + len(sizes), unit_bytes + sum(sizes), group_source
    return units


def make_plan(videos: Iterable[Video], config: Mapping[str, PlanConfig]) -> pa.Table:
    """Return the plan's table, sorted by source, group id and video id.

    Raises UserError for two videos whose clips would have the same keys.
    """
    ordered = sorted(videos, key=lambda v: (v.source, v.group_id, v.video_id))
    _refuse_equal_keys(ordered)

    def encode(path: str | None) -> bytes | None:
        return None if path is None else os.fsencode(path)

    columns: dict[str, Any] = {
        "unit": cut_units(ordered, config),
        "source": pa.array([v.source for v in ordered], pa.string()).dictionary_encode(),
        "video_id": [v.video_id for v in ordered],
        "group_id": [v.group_id for v in ordered],
        "path": [encode(v.path) for v in ordered],
        "size_bytes": [v.size_bytes for v in ordered],
        "mtime_ns": [v.mtime_ns for v in ordered],
        "sound_path": [encode(v.sound_path) for v in ordered],
        "own_sound_first": [v.own_sound_first for v in ordered],
        "boxes_path": [encode(v.boxes_path) for v in ordered],
        "start_s": [v.start_s for v in ordered],
        "stop_s": [v.stop_s for v in ordered],
        "speaker": [v.speaker for v in ordered],
        "language": [v.language for v in ordered],
        "origin": [None if v.origin is None else asdict(v.origin) for v in ordered],
        "labels": [None if v.labels is None else json.dumps(v.labels.to_json(), sort_keys=True) for v in ordered],
        "side": [v.side for v in ordered],
        "side_share": [v.side_share for v in ordered],
        "picture": pa.array([encode_picture_input(v.picture) for v in ordered], pa.string()),
    }
    return pa.table(columns, schema=SCHEMA)


def _refuse_equal_keys(videos: Iterable[Video]) -> None:
    """Raise UserError for two videos of a source with one id, or with ids of the same digest."""
    by_prefix: dict[str, Video] = {}
    for video in videos:
        first = by_prefix.setdefault(make_video_prefix(video.source, video.video_id), video)
        if first is video:
            continue
        paths = f"{utf8_name(first.path)} and {utf8_name(video.path)}"
        problem = f"have the id {video.video_id!r}"
        if first.video_id != video.video_id:
            problem = f"would have the same clip keys ({first.video_id!r} and {video.video_id!r})"
        raise UserError(f"{video.source}: two inputs {problem}: {paths}; rename one of them")
