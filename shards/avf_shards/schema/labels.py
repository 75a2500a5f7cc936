"""Origin and labels of a video, as the owners of its corpus publish them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields

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
        box = None
        if fields.values.get("box") is not None:
            corners = {str(corner): value for corner, value in enumerate(fields.items("box"))}
            if len(corners) != 4:
                raise FaultError(f"{fields.where}: box must be four numbers, and is {list(corners.values())}")
            left, top, right, bottom = (Fields(corners, f"{fields.where}: box").number(str(n)) for n in range(4))
            box = (left, top, right, bottom)
        return cls(
            id=fields.text("id"),
            start_s=fields.optional_number("start_s"),
            stop_s=fields.optional_number("stop_s"),
            box=box,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels of a video."""

    values: Mapping[str, str]  # name -> label, spelled as its owners spell it
    subject: str | None = None  # the labelled person; None: not published
    session: str | None = None  # the recording session; None: not published
    folds: Mapping[str, int] = field(default_factory=dict)  # scheme -> fold that tests the video, from 1; 0: none

    @classmethod
    def from_json(cls, fields: Fields) -> "Labels":
        """Return the labels in a record or in a plan. Raises FaultError."""
        return cls(
            values=fields.texts("values"),
            subject=fields.optional_text("subject"),
            session=fields.optional_text("session"),
            folds=fields.integers("folds"),
        )
