"""The 25 fps timeline of a video, spans on it, and the rule that the spans of all decisions tile it."""

from collections.abc import Iterable
from dataclasses import dataclass

FRAMES_PER_SECOND = 25
SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAMES_PER_SECOND  # 640, exactly


@dataclass(frozen=True, order=True)
class Span:
    """Half-open range [start_frame, stop_frame) of frame indices on the 25 fps timeline."""

    start_frame: int  # first frame of the span, at 25 fps
    stop_frame: int  # the frame after the last one of the span

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame <= self.stop_frame:
            raise ValueError(f"not a span: [{self.start_frame}, {self.stop_frame})")

    @property
    def frames(self) -> int:
        return self.stop_frame - self.start_frame

    @property
    def start_s(self) -> float:
        return self.start_frame / FRAMES_PER_SECOND

    @property
    def stop_s(self) -> float:
        return self.stop_frame / FRAMES_PER_SECOND

    @property
    def seconds(self) -> float:
        return self.frames / FRAMES_PER_SECOND


def format_duration(frames: int) -> str:
    """Return the duration of frames at 25 fps as 1:02:03 or 2:03.4."""
    seconds = frames / FRAMES_PER_SECOND
    if seconds >= 3600:
        return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d}:{int(seconds % 60):02d}"
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


class TilingError(AssertionError):
    """The spans of a video have a gap or an overlap. This is always a fault of the program, never of the input."""


def check_tiling(spans: Iterable[Span], frames: int) -> None:
    """Raise TilingError unless `spans`, sorted, cover [0, frames) without gap or overlap.

    A video of no frames has exactly one empty span.
    """
    ordered = sorted(spans)
    if frames == 0:
        if ordered != [Span(0, 0)]:
            raise TilingError(f"a video of no frames must have one empty span, not {ordered}")
        return
    position = 0
    for span in ordered:
        if span.start_frame != position or span.frames == 0:
            raise TilingError(f"spans do not tile: expected a span from frame {position}, got {span}")
        position = span.stop_frame
    if position != frames:
        raise TilingError(f"spans end at frame {position} of {frames}")
