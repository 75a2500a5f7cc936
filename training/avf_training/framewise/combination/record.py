"""What became of a plan: ensemble.json beside the ensemble's predictions."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_shards.settings.config import bind
from avf_shards.system.durable_io import replace_file

from avf_training.framewise.combination.plan import FITTED_METHODS, EnsemblePlan
from avf_training.framewise.json_records import add_remedy, bind_json_record
from avf_training.framewise.tracks.identity import TrackSubject

RECORD = "ensemble.json"


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """A member, and how good it is alone on the scored videos that it answers, those of the set test apart."""

    name: str
    digest: str  # of the model: SHA-256 of its name, settings and weights
    settings: Mapping[str, Any]  # that the model's identity holds
    fold: int | None
    trained_on: str
    scene: str
    weight: float
    videos: int  # that it has predictions of
    answers: int  # videos that it takes part in
    scored_videos: int  # of those, the scored ones that are not of the set test
    scores: Mapping[str, Any]  # of these: of each output and their mean, not smoothed; null where undefined
    smoothed_scores: Mapping[str, Any]  # likewise, smoothed as in the ensemble
    test_videos: int  # of those that it takes part in, the scored ones of the set test
    test_scores: Mapping[str, Any]  # of these, not smoothed
    smoothed_test_scores: Mapping[str, Any]  # likewise, smoothed as in the ensemble


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
    # Of these, frames before the first or behind the last prediction of a member, or in a gap longer than the plan's
    # bound.
    repeated: int
    split: Literal["train", "validation", "test"] | None  # set of the owners; null: in none, or it is not labelled
    scored: bool  # it is labelled, and its members have not seen it in training
    longest_gap_s: float = 0.0  # between two predictions of a member
    related: tuple[str, ...] = ()  # members that answer it and were trained on another video of its person or file

    @property
    def subject(self) -> TrackSubject:
        """Return whose answer it is."""
        return TrackSubject(source=self.source, video_id=self.video, person=self.person)

    @property
    def is_development(self) -> bool:
        """Return whether widths were chosen, and weights and forests fitted on videos such as it."""
        return self.scored and self.split != "test"

    @property
    def is_test(self) -> bool:
        """Return whether its score is one on which nothing was chosen or fitted."""
        return self.scored and self.split == "test"


@dataclass(frozen=True, kw_only=True)
class FittingRecord:
    """What was fitted on the scored videos that are not of the set test; empty for means and votes."""

    kind: str  # method of the plan
    frames: int = 0  # that it was fitted on
    groups: int = 0  # people or files that these are of; 0 in records of earlier versions
    weights: Mapping[str, Any] = field(default_factory=dict)  # output -> member -> weight, of dirichlet
    chosen_score: float | None = None  # of dirichlet, on the frames that the weights were chosen on
    left_out_score: float | None = None  # with people or files left out of the fit that answers them
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
    width_scores: Mapping[str, Any]  # of each width that was tried, on the videos of `scores`; empty: none was
    fitting: FittingRecord
    members: tuple[MemberRecord, ...]
    videos: tuple[VideoRecord, ...]
    scored_frames: int  # valid labels of the scored videos that are not of the set test
    # Of these, of each output and their mean, of the written predictions; null where undefined. What was chosen and
    # fitted, was so on these videos.
    scores: Mapping[str, Any]
    test_frames: int  # valid labels of the scored videos of the set test
    test_scores: Mapping[str, Any]  # of these; nothing was chosen or fitted on them

    @property
    def learners(self) -> str:
        """Return who was trained on a video that is not scored for it, in words."""
        is_fitted = self.plan["method"]["kind"] in FITTED_METHODS
        return "some member" if is_fitted else "every member that answers"


def write_record(folder: Path, record: EnsembleRecord) -> None:
    """Write FOLDER/ensemble.json."""
    text = json.dumps(stamp(asdict(record), "frame ensemble"), indent=1, sort_keys=True, allow_nan=False)
    replace_file(folder / RECORD, (text + "\n").encode())


def read_record(folder: Path) -> EnsembleRecord | None:
    """Return the record of predictions, None where they are no ensemble's. Raises UserError."""
    path = folder / RECORD
    if not path.is_file():
        return None
    remedy = f"it is damaged, or another version wrote it; remove {folder}, and run ensemble-frames again"
    record = bind_json_record(EnsembleRecord, path, "frame ensemble", remedy)
    with add_remedy(path, remedy):
        bind(EnsemblePlan, record.plan, "plan")
        for width, score in record.width_scores.items():
            if not _is_number(width) or not (score is None or isinstance(score, int | float)):
                raise UserError(f"width_scores: {width!r}: {score!r} is no width with a score")
    return record


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
