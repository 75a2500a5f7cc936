"""Frame numbers of a file as players count them, for tools that show the file itself."""

import math
from dataclasses import dataclass
from pathlib import Path

from avf_curation.media.container import open_container
from avf_curation.media.types import MediaError


@dataclass(frozen=True, kw_only=True)
class FrameRate:
    """Rate and number of the frames of a video file, as its header says."""

    fps: float  # frames per second, on average
    frames: int  # number of frames, at least 1

    def frame_range(self, start_s: float, stop_s: float) -> list[int]:
        """Return the first and the last frame, counted from 1, that are shown between two times in seconds."""
        first = min(self.frames, 1 + math.floor(start_s * self.fps + 1e-6))
        last = min(self.frames, math.ceil(stop_s * self.fps - 1e-6))
        return [first, max(first, last)]


def read_frame_rate(path: Path) -> FrameRate:
    """Read rate and number of frames from the header of a file. Raises MediaError where it has no video."""
    with open_container(path) as container:
        if not container.streams.video:
            raise MediaError("no_picture", "the file has no video")
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        seconds = container.duration / 1e6 if container.duration else 0.0
        return FrameRate(fps=fps, frames=max(1, stream.frames or round(seconds * fps)))
