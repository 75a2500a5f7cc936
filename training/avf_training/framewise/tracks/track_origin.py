"""Which command writes the tracks of an extractor, for messages: `extract`, or `predict-frames --layer`."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avf_training.framewise.tracks.extractor_names import EXTRACTORS
from avf_training.framewise.tracks.feature_track import FEATURE_TRACK
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.framewise.tracks.track_file import ENDING, TrackFileKind


def track_kind(folder: Path, extractor: str, identity: ExtractorIdentity | None = None) -> TrackFileKind:
    """Return how messages call a track of an extractor, and the command that writes it.

    Args:
        folder: of the extractor's tracks; the first one that can be read says what wrote them.
        extractor: name of the tracks.
        identity: what the tracks are of, where that is known.
    """
    if extractor in EXTRACTORS:
        return _extracted(f"--extractor {extractor}")
    settings = _settings_of_first(folder) if identity is None else identity.settings
    if settings is None:
        return replace(
            FEATURE_TRACK,
            written_by=f"avf-train extract --name {extractor}` or `predict-frames --layer LAYER --name {extractor}",
        )
    values = json.loads(settings)
    if not {"layer", "select"} <= values.keys():  # the settings of what predict-frames --layer writes
        return _extracted(f"--name {extractor}")
    command = f"predict-frames --layer {values['select']} --name {extractor}"
    return replace(
        FEATURE_TRACK, written_by=f"avf-train {command}", remedy=f"remove it, and write it again with {command}"
    )


def _extracted(options: str) -> TrackFileKind:
    return replace(
        FEATURE_TRACK, written_by=f"{FEATURE_TRACK.written_by} {options}", remedy="remove it and extract it again"
    )


def _settings_of_first(folder: Path) -> str | None:
    """Return the settings in the first track of a folder that can be read, a JSON object, or None without one."""
    for path in sorted(folder.glob(f"*/*{ENDING}")):
        try:
            text: str = (pq.read_schema(path).metadata or {})[b"extractor_settings"].decode()
            if isinstance(json.loads(text), dict):
                return text
        except (OSError, pa.ArrowException, KeyError, ValueError):
            continue
    return None
