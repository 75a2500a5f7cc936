"""What a track is computed from: stretches of footage, and whose they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    read: Callable[[], Iterator[FootageStretch]]  # opens the stretches in order of time; raises FaultError
