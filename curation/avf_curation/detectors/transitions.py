"""Finds where shots change by TransNetV2: cuts, and stretches that show something of two shots, as a dissolve.

The network looks at 100 frames at a time, of which it decides those in the middle, so that memory does not grow with
the film. At the ends of a film its first and its last frame are repeated, as its authors do.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from avf_shards.timeline import Span

from avf_curation.detectors.transnetv2 import SIZE_PX, TransNetV2
from avf_curation.media.types import Bytes

_WINDOW, _EDGE = 100, 25  # frames that the network takes, and those at either end that it does not decide
_STEP = _WINDOW - 2 * _EDGE
MAX_FRAMES = 150  # of one transition; what goes on for longer is taken for another one
MAX_DELAY = MAX_FRAMES + _WINDOW
_LEAST = 0.1  # probability from which on frames beside those above the threshold belong to a transition
_MAX_CUT_FRAMES = 2  # with so few frames above the threshold a transition is a cut


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A change from one shot to the next."""

    span: Span  # frames that show something of both; at a cut it is empty and at the first frame of the next shot
    transition: float  # the highest probability of its frames
    dissolve: float = 0.0  # no share of a mixture: the probability is the score


class TransitionDetector:
    """Takes a video frame by frame, and tells of a transition less than `MAX_DELAY` frames after its start."""

    def __init__(self, network: TransNetV2, threshold: float, first_index: int = 0, *, cuts_only: bool = False) -> None:
        """Begin at `first_index`.

        Args:
            network: it decides each frame.
            threshold: a stretch with a frame of which the probability is higher is a transition.
            first_index: of the first frame that is fed.
            cuts_only: tell a cut in the middle of each longer transition, so that no frame is cut out.
        """
        self._network, self._threshold, self._cuts_only = network, threshold, cuts_only
        self._frames: list[Bytes] = []  # RGB, (27, 48, 3), from `_EDGE` frames before the first that is not decided
        self._decided = first_index  # index of the first frame that the network has not decided
        self._probabilities: list[float] = []  # of the frames of a stretch that may go on
        self._changes: list[float] = []  # from the frame before to each frame of that stretch

    @property
    def settled(self) -> int:
        """The index before which no further transition begins."""
        return self._decided - len(self._probabilities)

    def feed(self, small_HWC: Bytes | None) -> list[Transition]:
        """Take the next frame as a small BGR image, None where it is the one before; return what has ended."""
        if small_HWC is not None:
            frame_HWC = np.asarray(cv2.resize(small_HWC, SIZE_PX, interpolation=cv2.INTER_AREA)[..., ::-1], np.uint8)
        else:  # the first picture of a film may be one that cannot be shown
            frame_HWC = self._frames[-1] if self._frames else np.zeros((*SIZE_PX[::-1], 3), np.uint8)
        if not self._frames:
            self._frames = [frame_HWC] * _EDGE
        self._frames.append(frame_HWC)
        return self._decide(_STEP) if len(self._frames) == _WINDOW else []

    def finish(self) -> list[Transition]:
        """Return the transitions that were not told yet."""
        transitions: list[Transition] = []
        rest = len(self._frames) - _EDGE
        while rest > 0:
            self._frames += [self._frames[-1]] * (_WINDOW - len(self._frames))
            transitions += self._decide(min(rest, _STEP))
            rest -= _STEP
        return transitions + self._close(change_behind=0.0)

    def _decide(self, count: int) -> list[Transition]:
        """Decide the first `count` frames that are not decided, and return the transitions that end there."""
        middle_T, part_T = self._network.predict(np.stack(self._frames))
        transitions: list[Transition] = []
        for index in range(_EDGE, _EDGE + count):
            probability = float(max(middle_T[index], part_T[index]))
            change = float(cv2.absdiff(self._frames[index], self._frames[index - 1]).mean())
            if probability > min(_LEAST, self._threshold):
                self._probabilities.append(probability)
                self._changes.append(change)
            else:
                transitions += self._close(change)
            self._decided += 1
            if len(self._probabilities) == MAX_FRAMES:
                transitions += self._close(change_behind=0.0)
        self._frames = self._frames[_STEP:]
        return transitions

    def _close(self, change_behind: float) -> list[Transition]:
        """Return the transition that ends before the first frame that is not decided, or nothing.

        Args:
            change_behind: from the last frame of the stretch to the one behind it.
        """
        probabilities, changes = self._probabilities, [*self._changes, change_behind]
        self._probabilities, self._changes = [], []
        if not probabilities or max(probabilities) <= self._threshold:
            return []
        stop = self._decided
        start = stop - len(probabilities)
        if sum(probability > self._threshold for probability in probabilities) <= _MAX_CUT_FRAMES:
            start = stop = start + int(np.argmax(changes))
        elif self._cuts_only:
            start = stop = (start + stop) // 2
        return [Transition(span=Span(start, stop), transition=max(probabilities))]
