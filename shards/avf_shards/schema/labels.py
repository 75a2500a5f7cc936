"""What a corpus says of a clip: where it comes from, and its labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields

Box4 = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a corpus' owners say of where a video was cut from: a hint for people and later tools, never a measurement.

    id: theirs of the whole film, as a YouTube id. start_s, stop_s: in that film. box: left, top, right, bottom of the
    face as shares of the picture; a point (left = right, top = bottom) where they give its centre alone.
    """

    id: str
    start_s: float | None = None
    stop_s: float | None = None
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
    """What a labelled corpus says of a video. values: name -> label, as its owners write it. folds: scheme -> the fold
    in whose test set it is, from 1 on; 0 where it is never tested."""

    values: Mapping[str, str]
    subject: str | None = None
    session: str | None = None
    folds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Fields) -> "Labels":
        """Return the labels in a record or in a plan. Raises FaultError."""
        return cls(
            values=fields.texts("values"),
            subject=fields.optional_text("subject"),
            session=fields.optional_text("session"),
            folds=fields.integers("folds"),
        )
