"""Cuts the shots of a video where its file is faulty, so that a local fault costs its own part and not the shot."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from avf_shards.timeline import Span

from avf_curation.media.types import VideoTrack, overlapping
from avf_curation.pipeline.screening import ScreenedShot


@dataclass(frozen=True, kw_only=True)
class ShotPart:
    """A part of a shot that is usable, or damaged, as a whole."""

    shot: ScreenedShot
    is_damaged: bool  # a packet is damaged, and no clean key frame has come since


def split_at_faults(shot: ScreenedShot, track: VideoTrack) -> list[ShotPart]:
    """Return the parts of a shot: cut where another recording begins, and where damage begins and ends."""
    span, damaged = shot.span, overlapping(track.damaged, shot.span)
    joins = track.joins[bisect_left(track.joins, span.start_frame) : bisect_right(track.joins, span.stop_frame)]
    edges = {span.start_frame, span.stop_frame, *joins}
    edges |= {edge for other in damaged for edge in (other.start_frame, other.stop_frame)}
    inside = sorted(edge for edge in edges if span.start_frame <= edge <= span.stop_frame)
    parts = []
    for start, stop in zip(inside, inside[1:], strict=False):
        is_damaged = bool(overlapping(damaged, Span(start, stop)))
        parts.append(ShotPart(shot=shot.part(Span(start, stop)), is_damaged=is_damaged))
    return parts
