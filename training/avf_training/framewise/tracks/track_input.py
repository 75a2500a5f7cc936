"""What a track is computed from: stretches of footage, and whose they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import TrackSubject


@dataclass(frozen=True, kw_only=True)
class FootageStretch:
    """Footage with the numbers and times of its frames."""

    footage: Footage
    frames_N: npt.NDArray[np.int64]  # numbers in the video, from 1, rising
    times_s_N: npt.NDArray[np.float64]  # in seconds of the video
    # Which row of the footage each of these frames is, as a function of the rows that have a vector: an index among
    # those rows, -1 for none. None: each frame is its own row.
    rows_of_frames: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]] | None = None

    def number(
        self, rows_R: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the numbers and times of the frames with a vector, and the index of each vector."""
        if self.rows_of_frames is None:
            return self.frames_N[rows_R], self.times_s_N[rows_R], np.arange(len(rows_R))
        index_N = self.rows_of_frames(rows_R)
        has_vector_N = index_N >= 0
        return self.frames_N[has_vector_N], self.times_s_N[has_vector_N], index_N[has_vector_N]


@dataclass(frozen=True, kw_only=True)
class TrackInput:
    """What the track of one person of one video is computed from."""

    subject: TrackSubject
    fps: float  # frames a second of the video whose frames are counted
    inputs_sha256: str  # changes where the track would
    noun: Literal["clips", "pictures", "file"] = "clips"  # what is looked at; the rate of clips is no option
    read: Callable[[], Iterator[FootageStretch]]  # opens the stretches in order of time; raises FaultError

    def describe_change(self, stored_fps: float) -> str:
        """Return how this input differs from that of a track with other frames a second or another digest."""
        if stored_fps != self.fps:
            if self.noun == "clips":
                return f"of {stored_fps:g} frames a second, and now {self.fps:g}"
            return f"with --fps {stored_fps:g}, and now --fps {self.fps:g}"
        verb = "has" if self.noun == "file" else "have"
        changed = {"clips": "keys, settings or files", "pictures": "names or sizes", "file": "name or size"}[self.noun]
        return f"its {self.noun} {verb} other {changed} now"
