"""Records in the sequential pass what a later read must know of the pictures: sizes, colours, interlaced frames."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_curation.media.interlacing import CombDetector
from avf_curation.media.picture_format import FrameTraits, display_size, frame_traits
from avf_curation.media.tone_mapping import color_kind
from avf_curation.media.types import PictureRun

_MAX_INTERLACED_FPS = 31  # interlaced video has 25 or 29.97 frames a second; a faster film needs no search for combs
_CADENCE = 5  # frames of telecined film, of which two that are next to each other are combed
_WINDOW = 10 * _CADENCE  # frames over which the cadence must hold
_MIN_COMBED = 6  # combed frames of a window below which its cadence cannot be told


class PictureRecorder:
    """The pictures of one input, in order."""

    def __init__(self, fps: float) -> None:
        self._combs = CombDetector(search=fps <= _MAX_INTERLACED_FPS)
        self.runs: list[PictureRun] = []
        self._deinterlaced: list[bool] = []
        self._telecine = _TelecineCounter()

    def note(self, frame: Any, indices: range, following: Any | None) -> None:
        """Take the next source frame and the timeline indices that show it, and complete the frame's traits.

        Args:
            following: the source frame after it; None at the end.
        """
        interlaced = self._combs.is_interlaced(frame, following)
        self._telecine.add(interlaced)
        if not indices:
            return
        aspect = frame_traits(frame).pixel_aspect
        frame.opaque = FrameTraits(pixel_aspect=aspect, interlaced=interlaced)
        self._deinterlaced += [interlaced] * len(indices)
        width, height = display_size(frame)
        run = PictureRun(
            start_frame=indices[0], width_px=width, height_px=height, pixel_aspect=aspect, colors=color_kind(frame)
        )
        if not self.runs or replace(self.runs[-1], start_frame=indices[0]) != run:
            self.runs.append(run)

    @property
    def deinterlaced(self) -> npt.NDArray[np.bool_]:
        """Whether the frame at each index of the timeline is interlaced."""
        return np.asarray(self._deinterlaced, bool)

    @property
    def is_telecined(self) -> bool:
        """Whether most of what is interlaced is film of 24 frames a second whose fields were repeated."""
        return self._telecine.answer()


class _TelecineCounter:
    """Counts windows of frames whose combed frames are two neighbours of every five."""

    def __init__(self) -> None:
        self._phases, self._fed = [0] * _CADENCE, 0
        self._with_cadence = self._without = 0

    def add(self, combed: bool) -> None:
        self._phases[self._fed % _CADENCE] += combed
        self._fed += 1
        if self._fed % _WINDOW == 0:
            combed_frames = sum(self._phases)
            neighbours = max(self._phases[i] + self._phases[(i + 1) % _CADENCE] for i in range(_CADENCE))
            if combed_frames >= _MIN_COMBED:
                # All the combed frames, but for a tenth where the cadence breaks: interlaced video has two fifths.
                self._with_cadence += neighbours >= 0.9 * combed_frames
                self._without += neighbours < 0.9 * combed_frames
            self._phases = [0] * _CADENCE

    def answer(self) -> bool:
        """Return whether most windows with motion have the cadence."""
        return self._with_cadence > self._without
