"""Origin and labels of a video, as the owners of its corpus publish them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields
from avf_shards.schema.forgery import Forgery
from avf_shards.schema.frame_labels import FrameLabels, SourceFrames

Box4 = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The recording that a video was cut from, as the owners of the corpus state it. Nothing here was measured."""

    id: str  # the owners' id of the whole recording, as a YouTube id
    start_s: float | None = None  # start of the video in that recording, in seconds; None: not published
    stop_s: float | None = None  # end of the video in that recording, in seconds; None: not published
    # Face as (left, top, right, bottom), shares of the frame; a point (left = right, top = bottom) where only the
    # centre is published.
    box: Box4 | None = None

    @classmethod
    def from_json(cls, fields: Fields) -> "Origin":
        """Return the origin in a record. Raises FaultError."""
        return cls(
            id=fields.text("id"),
            start_s=fields.optional_number("start_s"),
            stop_s=fields.optional_number("stop_s"),
            box=read_box(fields, "box"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels of a video."""

    values: Mapping[str, str]  # name -> label, spelled as its owners spell it
    subject: str | None = None  # the labelled person; None: not published
    session: str | None = None  # the recording session; None: not published
    folds: Mapping[str, int] = field(default_factory=dict)  # scheme -> fold that tests the video, from 1; 0: none
    frames: Mapping[str, FrameLabels] = field(default_factory=dict)  # task -> labels of single frames, in a record cut
    source_frames: SourceFrames | None = None  # of the clip, where it has labels of frames; None in a plan
    forgery: Forgery | None = None  # real or fake, and where; None: the corpus does not say

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them; labels of frames and what was forged only where they are known."""
        values: dict[str, Any] = {
            "values": dict(self.values),
            "subject": self.subject,
            "session": self.session,
            "folds": dict(self.folds),
        }
        if self.frames:
            values["frames"] = {task: labels.to_json() for task, labels in self.frames.items()}
        if self.source_frames is not None:
            values["source_frames"] = self.source_frames.to_json()
        if self.forgery is not None:
            values["forgery"] = self.forgery.to_json()
        return values

    @classmethod
    def from_json(cls, fields: Fields) -> "Labels":
        """Return the labels in a record or in a plan, of this version or an earlier one. Raises FaultError."""
        tasks = fields.table("frames") if fields.values.get("frames") is not None else None
        has_source_frames, has_forgery = (fields.values.get(name) is not None for name in ("source_frames", "forgery"))
        return cls(
            values=fields.texts("values"),
            subject=fields.optional_text("subject"),
            session=fields.optional_text("session"),
            folds=fields.integers("folds"),
            frames={} if tasks is None else {task: FrameLabels.from_json(tasks.table(task)) for task in tasks.values},
            source_frames=SourceFrames.from_json(fields.table("source_frames")) if has_source_frames else None,
            forgery=Forgery.from_json(fields.table("forgery")) if has_forgery else None,
        )


def read_box(fields: Fields, name: str) -> Box4 | None:
    """Return four numbers of an object; None where the field is null or missing. Raises FaultError."""
    if fields.values.get(name) is None:
        return None
    corners = {str(corner): value for corner, value in enumerate(fields.items(name))}
    if len(corners) != 4:
        raise FaultError(f"{fields.where}: {name} must be four numbers, and is {list(corners.values())}")
    left, top, right, bottom = (Fields(corners, f"{fields.where}: {name}").number(str(n)) for n in range(4))
    return left, top, right, bottom
