"""Labels of single frames, as the owners of a corpus number the frames of its videos.

Nothing is resampled. Labels keep the numbers of the source's frames, and `SourceFrames` says when each of these is
presented, and which of them each frame of the 25 fps clip shows: the label of frame t of a clip is that of the source
frame `shown[t]`. A source of 30 fps has frames that no frame of the clip shows; their labels are in the record too.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLabels:
    """Labels of one task for consecutive frames of a video. In JSON, a value that is not valid is null."""

    first_frame: int  # number of the source frame of the first value, counted from 1
    columns: Mapping[str, "array[float]"]  # name -> one value a frame, of type "d"; NaN: not valid, or not readable
    classes: tuple[str, ...] = ()  # names of the classes whose numbers, from 0 on, the values are; empty: no classes
    total: int  # values in the owners' file, of which a clip has only its own

    @property
    def frames(self) -> int:
        """The number of frames that have a value, valid or not."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __eq__(self, other: object) -> bool:
        # NaN differs from itself, and two equal files of labels must not.
        return isinstance(other, FrameLabels) and self.to_json() == other.to_json()

    def cut(self, first: int, last: int | None) -> "FrameLabels":
        """Return the labels of the frames `first` to `last`, both included and counted from 1; None: to the end."""
        start = max(0, first - self.first_frame)
        stop = self.frames if last is None else max(start, last + 1 - self.first_frame)
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return FrameLabels(
            first_frame=self.first_frame + start, columns=columns, classes=self.classes, total=self.total
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them: whole numbers without a point, null for what is not valid."""
        columns = {name: [_to_number(value) for value in values] for name, values in self.columns.items()}
        return {
            "first_frame": self.first_frame,
            "columns": columns,
            "classes": list(self.classes),
            "total": self.total,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "FrameLabels":
        """Return the labels in a record or in a plan. Raises FaultError."""
        table = fields.table("columns")
        columns = {name: _read_column(table, name) for name in table.values}
        if len({len(values) for values in columns.values()}) > 1:
            raise FaultError(f"{fields.where}: columns must have one value a frame each, and differ in length")
        return cls(
            first_frame=fields.integer("first_frame"),
            columns=columns,
            classes=tuple(fields.text_list("classes")),
            total=fields.integer("total"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFrames:
    """The frames of the source in the stretch of one clip. A frame across a cut belongs to the clips on both sides."""

    numbers: tuple[int, ...]  # rising, from 1: of decodable frames, in the order of presentation; of images, in names
    times_s: tuple[float, ...]  # when each is presented: seconds after frame 0 of the video, as spans count
    shown: tuple[int, ...]  # of each frame of the clip: the number of the source frame that it shows

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {"numbers": list(self.numbers), "times_s": list(self.times_s), "shown": list(self.shown)}

    @classmethod
    def from_json(cls, fields: Fields) -> "SourceFrames":
        """Return the frames in a record. Raises FaultError."""
        numbers, shown = (_read_integers(fields, name) for name in ("numbers", "shown"))
        times_s = tuple(_read_column(fields, "times_s"))
        if len(numbers) != len(times_s) or not set(shown) <= set(numbers):
            raise FaultError(f"{fields.where}: numbers and times_s must be equally many, and numbers hold all of shown")
        return cls(numbers=numbers, times_s=times_s, shown=shown)


def _to_number(value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def _read_column(fields: Fields, name: str) -> "array[float]":
    try:
        return array("d", [math.nan if value is None else value for value in fields.items(name)])
    except (TypeError, OverflowError):
        raise FaultError(f"{fields.where}: {name} must be a list of numbers") from None


def _read_integers(fields: Fields, name: str) -> tuple[int, ...]:
    values = fields.items(name)
    if any(type(value) is not int for value in values):
        raise FaultError(f"{fields.where}: {name} must be a list of whole numbers")
    return tuple(values)
