"""What was forged in a video, and when: the truth of deepfake detection.

A plan has the segments of the whole file, on the clock of its frames (frame 0 is 0 s). The record of a clip has those
of the clip alone, on the clip's own clock: `cut` clips and shifts them. So a clip of a fake may hold no forged second,
and says so: `is_fake` is of the file, `forged_seconds` is of a stretch of the clip.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields

ForgedKind = Literal["audio", "video", "both"]
FORGED_KINDS: tuple[ForgedKind, ...] = ("audio", "video", "both")
REAL, FAKE = "real", "fake"
"""The labels of a file, in `Labels.values["label"]`."""

_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgedSegment:
    """A forged stretch of a video."""

    start_s: float
    stop_s: float  # later than `start_s`
    kind: ForgedKind  # of what was forged
    method: str | None = None  # of the manipulation or generator; None: that of the file

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {"start_s": self.start_s, "stop_s": self.stop_s, "kind": self.kind, "method": self.method}

    @classmethod
    def from_json(cls, fields: Fields) -> "ForgedSegment":
        """Return the segment in a record or in a plan. Raises FaultError."""
        start_s, stop_s, kind = fields.number("start_s"), fields.number("stop_s"), _read_kind(fields)
        if kind is None or not 0 <= start_s < stop_s < math.inf:
            raise FaultError(
                f"{fields.where}: a segment must have a kind and end after its start, and is of {kind} from {start_s} "
                f"to {stop_s} s"
            )
        return cls(start_s=start_s, stop_s=stop_s, kind=kind, method=fields.optional_text("method"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    """What the owners of a corpus say of the truth of a video: real, or forged in these segments."""

    is_fake: bool  # something in the file was forged
    #: Id of the original, within the source: of a real video its own. An original and what was forged of it share it,
    #: and are never on two sides of a split.
    original: str
    kind: ForgedKind | None = None  # of what was forged in the file; None: real, or not published
    method: str | None = None  # of the manipulation or generator; None: real, or not published
    #: In the order of time; segments of several kinds may overlap. None: a fake whose times are not published, which
    #: counts as forged from start to end. A real video has ().
    segments: tuple[ForgedSegment, ...] | None = ()

    def forged_seconds(self, start_s: float, stop_s: float, kinds: tuple[ForgedKind, ...] = FORGED_KINDS) -> float:
        """Return how many seconds of the stretch [start_s, stop_s) segments of these kinds cover, overlaps once."""
        if not self.is_fake:
            return 0.0
        if self.segments is None:
            return stop_s - start_s if self.kind is None or self.kind in kinds else 0.0
        seconds, end_s = 0.0, start_s
        for segment in sorted(self.segments, key=lambda segment: segment.start_s):
            if segment.kind in kinds:
                seconds += max(0.0, min(stop_s, segment.stop_s) - max(end_s, segment.start_s))
                end_s = max(end_s, segment.stop_s)
        return seconds

    def cut(self, start_s: float, stop_s: float) -> "Forgery":
        """Return the truth of the stretch [start_s, stop_s), with segments clipped to it and counted from its start."""
        if self.segments is None:
            return self
        inside = [
            replace(
                segment,
                start_s=round(max(segment.start_s, start_s) - start_s, _DECIMALS),
                stop_s=round(min(segment.stop_s, stop_s) - start_s, _DECIMALS),
            )
            for segment in self.segments
        ]
        return replace(self, segments=tuple(segment for segment in inside if segment.start_s < segment.stop_s))

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {
            "is_fake": self.is_fake,
            "original": self.original,
            "kind": self.kind,
            "method": self.method,
            "segments": None if self.segments is None else [segment.to_json() for segment in self.segments],
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "Forgery":
        """Return the truth in a record or in a plan. Raises FaultError."""
        is_fake = fields.values.get("is_fake")
        if not isinstance(is_fake, bool):
            raise FaultError(f"{fields.where}: is_fake must be true or false, and is {is_fake!r}")
        segments = None
        if fields.values.get("segments") is not None:
            segments = tuple(
                ForgedSegment.from_json(Fields.from_value(values, f"{fields.where}: segments"))
                for values in fields.items("segments")
            )
        if not is_fake and segments != ():
            raise FaultError(f"{fields.where}: is_fake is false, and segments must be an empty list")
        return cls(
            is_fake=is_fake,
            original=fields.text("original"),
            kind=_read_kind(fields),
            method=fields.optional_text("method"),
            segments=segments,
        )


def _read_kind(fields: Fields) -> ForgedKind | None:
    """Return the kind in a record; None where it is null. Raises FaultError."""
    kind = fields.optional_text("kind")
    if kind is not None and kind not in FORGED_KINDS:
        raise FaultError(f"{fields.where}: kind must be one of {', '.join(FORGED_KINDS)}, and is {kind[:40]!r}")
    return kind
