"""What became of a plan: ensemble.json beside the ensemble's predictions."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.versions import SCHEMA_VERSION, read_json, stamp
from avf_shards.settings.config import bind
from avf_shards.system.durable_io import replace_file

RECORD = "ensemble.json"


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """A member, and how good it is alone on the scored videos that it answers."""

    name: str
    digest: str  # of the model: SHA-256 of its name, settings and weights
    settings: Mapping[str, Any]  # that the model's identity holds
    fold: int | None
    trained_on: str
    scene: str
    weight: float
    videos: int  # that it has predictions of
    answers: int  # videos that it takes part in
    scored_videos: int  # of those, the scored ones
    scores: Mapping[str, Any]  # of each output and their mean, not smoothed; null where undefined
    smoothed_scores: Mapping[str, Any]  # likewise, smoothed as in the ensemble


@dataclass(frozen=True, kw_only=True)
class VideoRecord:
    """A video of the ensemble."""

    source: str
    video: str
    person: int
    scene: str
    fold: int | None
    members: tuple[str, ...]  # that answer it
    missing: tuple[str, ...]  # members without a prediction of it
    frames: int  # that are answered
    interpolated: int  # of these, frames between two predictions of a member that has none there
    repeated: (
        int  # before the first or behind the last prediction of a member, or in a gap longer than the plan's bound
    )
    scored: bool  # it is labelled, and its members have not seen it in training
    longest_gap_s: float = 0.0  # between two predictions of a member


@dataclass(frozen=True, kw_only=True)
class FittingRecord:
    """What was fitted on the scored videos; empty for means and votes."""

    kind: str  # method of the plan
    frames: int = 0  # that it was fitted on
    weights: Mapping[str, Any] = field(default_factory=dict)  # output -> member -> weight, of dirichlet
    chosen_score: float | None = None  # of dirichlet, on the frames that the weights were chosen on
    left_out_score: float | None = None  # with the people or files that are scored left out of the fit
    out_of_bag_score: float | None = None  # of forests, on single frames whose neighbours were learned: it leaks
    trees: int | None = None  # of forests
    criterion: str | None = None  # of forests
    headline: str | None = None  # which of both scores of forests the protocol takes: grouped or out_of_bag


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """The whole record."""

    name: str
    task: str
    plan: Mapping[str, Any]  # with every default
    protocol: Mapping[str, Any]  # every option and its value
    width_unit: str  # sigma_frames or window_s
    width: float | None  # of the smoothing; null: half a second by the protocol
    width_scores: Mapping[str, Any]  # of each width that was tried, on the scored videos; empty: none was
    fitting: FittingRecord
    members: tuple[MemberRecord, ...]
    videos: tuple[VideoRecord, ...]
    scored_frames: int  # valid labels that the scores are of
    scores: Mapping[str, Any]  # of each output and their mean, of the written predictions; null where undefined


def write_record(folder: Path, record: EnsembleRecord) -> None:
    """Write FOLDER/ensemble.json."""
    text = json.dumps(stamp(asdict(record), "frame ensemble"), indent=1, sort_keys=True, allow_nan=False)
    replace_file(folder / RECORD, (text + "\n").encode())


def read_record(folder: Path) -> EnsembleRecord | None:
    """Return the record of predictions, None where they are no ensemble's. Raises UserError or FaultError."""
    path = folder / RECORD
    if not path.is_file():
        return None
    values = read_json(path, "frame ensemble")
    values.pop(SCHEMA_VERSION)
    try:
        return bind(EnsembleRecord, values)
    except UserError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None
