"""Cuts the shots of a video where its file is faulty, so that a local fault costs its own part and not the shot."""

from dataclasses import dataclass

from avf_shards.timeline import Span

from avf_curation.media.types import VideoTrack
from avf_curation.pipeline.screening import ScreenedShot


@dataclass(frozen=True, kw_only=True)
class ShotPart:
    """A part of a shot that is usable, or damaged, as a whole."""

    shot: ScreenedShot
    is_damaged: bool  # a packet is damaged, and no clean key frame has come since


def split_at_faults(shot: ScreenedShot, track: VideoTrack) -> list[ShotPart]:
    """Return the parts of a shot: cut where another recording begins, and where damage begins and ends."""
    edges = {shot.span.start_frame, shot.span.stop_frame, *track.joins}
    edges |= {edge for span in track.damaged for edge in (span.start_frame, span.stop_frame)}
    inside = sorted(edge for edge in edges if shot.span.start_frame <= edge <= shot.span.stop_frame)
    parts = []
    for start, stop in zip(inside, inside[1:], strict=False):
        is_damaged = any(span.start_frame <= start < span.stop_frame for span in track.damaged)
        parts.append(ShotPart(shot=shot.part(Span(start, stop)), is_damaged=is_damaged))
    return parts
