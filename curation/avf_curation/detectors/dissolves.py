"""Finds dissolves and fades: stretches in which all of the picture is a mixture of what is before and what comes after.

Motion is no mixture: what moves passes through places that neither the first nor the last picture shows it at. Shapes:
H height, W width.
"""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from avf_shards.timeline import Span

from avf_curation.detectors.alignment import Image
from avf_curation.media.types import Bytes

SIZE_PX = (64, 48)  # width and height of the compared pictures
LAG, STEP = 25, 5  # frames between two compared pictures, and between two comparisons
MAX_FRAMES = 150  # of one dissolve; what goes on for longer is taken for another one
MIN_CHANGE = 18.0  # grey levels; measured: dissolves change the picture by 25 and more
MAX_CORRELATION = (
    0.6  # of the two pictures; measured: talkers 0.62 and more where a mixture explains 0.9 of what they do
)
MIN_SHARE = 0.9  # of each second of a dissolve; of the best one it is the recipe's
MARGIN = 20  # frames that are looked at on either side of the seconds with a change
MAX_DELAY = MAX_FRAMES + LAG + 2 * MARGIN + STEP
_BLUR_PX = 5
_MIXED = (0.1, 0.9)  # shares of the second picture between which a picture counts as mixed
_MIN_LEVELS = 2  # different mixtures: a cut has none, and between two fields one
_MIN_STEP = 0.02  # of the share, between two different mixtures
_SURE_SHARE = 0.15  # what the people do on either side of a dissolve looks like a smaller share
_TAIL = _SURE_SHARE / (
    1 - 2 * _SURE_SHARE
)  # of the frames between the sure ones: an even dissolve begins so much before


@dataclass(frozen=True, kw_only=True)
class Dissolve:
    """A stretch in which one picture turns into another."""

    span: Span  # frames that show something of both
    share: float  # of the change that a single mixture of the two pictures explains


class DissolveDetector:
    """Takes a video frame by frame, and tells of a dissolve at most `MAX_DELAY` frames after its start."""

    def __init__(self, min_share: float, first_index: int = 0) -> None:
        """Begin at `first_index`.

        Args:
            min_share: a change of which a mixture explains more than this share in a second is a dissolve.
        """
        self._min_share = min_share
        self._pictures: deque[Image] = deque()
        self._offset = first_index  # index of the first picture that is kept
        self._start = first_index  # of the second that is looked at next
        self._seconds: list[tuple[int, float]] = []  # of the dissolve that may go on: (start, share), ascending

    @property
    def settled(self) -> int:
        """The index before which no further dissolve begins."""
        return (self._seconds[0][0] if self._seconds else self._start) - MARGIN

    def feed(self, small_HWC: Bytes | None) -> list[Dissolve]:
        """Take the next frame as a small BGR image, None where it is the one before; return what has ended."""
        if small_HWC is not None or not self._pictures:
            self._pictures.append(_picture(small_HWC) if small_HWC is not None else np.zeros(SIZE_PX[::-1], np.float32))
        else:
            self._pictures.append(self._pictures[-1])
        ended: list[Dissolve] = []
        if self._start + LAG < self._offset + len(self._pictures):
            share = _mixture_share(self._cut(self._start, self._start + LAG))
            if share > MIN_SHARE:
                self._seconds.append((self._start, share))
            if self._seconds and (
                self._start > self._seconds[-1][0] + MARGIN or self._start >= self._seconds[0][0] + MAX_FRAMES
            ):
                ended = self.finish()
            self._start += STEP
            for _ in range(self.settled - self._offset):
                self._pictures.popleft()
            self._offset = max(self._offset, self.settled)
        return ended

    def finish(self) -> list[Dissolve]:
        """Return the dissolve that is not known to have ended, or nothing."""
        if not self._seconds:
            return []
        first = max(self._offset, self._seconds[0][0] - MARGIN)
        last = min(self._seconds[-1][0] + LAG + MARGIN, self._offset + len(self._pictures) - 1)
        share = max(share for _, share in self._seconds)
        self._seconds = []
        if share <= self._min_share:
            return []
        edges = _edges(_shares(self._cut(first, last)))
        return [Dissolve(span=Span(first + edges[0], first + edges[1]), share=share)]

    def _cut(self, first: int, last: int) -> list[Image]:
        """Return the pictures from one index to another, both included."""
        return [self._pictures[index - self._offset] for index in range(first, last + 1)]


def _picture(small_HWC: Bytes) -> Image:
    grey_HW = cv2.cvtColor(small_HWC, cv2.COLOR_BGR2GRAY)
    resized_HW = cv2.resize(grey_HW, SIZE_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(resized_HW, (_BLUR_PX, _BLUR_PX), 0))


def _mixture_share(pictures: list[Image]) -> float:
    """Return the share of a change that a mixture explains; 0 where the picture stays much the same, or is cut."""
    first_HW, last_HW = pictures[0], pictures[-1]
    change_HW = last_HW - first_HW
    if np.abs(change_HW).mean() < MIN_CHANGE or _correlation(first_HW, last_HW) > MAX_CORRELATION:
        return 0.0
    shares = np.clip(_shares(pictures), 0, 1)
    mixed = np.flatnonzero((shares > _MIXED[0]) & (shares < _MIXED[1]))
    if len(mixed) == 0 or 1 + np.count_nonzero(np.diff(np.sort(shares[mixed])) > _MIN_STEP) < _MIN_LEVELS:
        return 0.0
    rests = [((pictures[number] - first_HW - shares[number] * change_HW) ** 2).sum() for number in mixed]
    return 1 - float(np.mean(rests) / (change_HW**2).sum())


def _shares(pictures: list[Image]) -> Image:
    """Return how much of the way from the first picture to the last each one has gone."""
    change_HW = pictures[-1] - pictures[0]
    energy = (change_HW**2).sum() + 1e-3
    return np.asarray([((picture_HW - pictures[0]) * change_HW).sum() / energy for picture_HW in pictures], np.float32)


def _edges(shares: Image) -> tuple[int, int]:
    """Return the first picture that is mixed, and the one behind the last; the share is taken to rise evenly."""
    sure_start = int(np.flatnonzero(shares <= _SURE_SHARE)[-1]) + 1
    sure_stop = int(np.argmax(shares >= 1 - _SURE_SHARE))
    sure_start, sure_stop = min(sure_start, sure_stop), max(sure_start, sure_stop)
    tail = int(np.ceil(_TAIL * (sure_stop - sure_start))) + 1
    return max(0, sure_start - tail), min(len(shares), sure_stop + tail)


def _correlation(first_HW: Image, second_HW: Image) -> float:
    first_HW, second_HW = first_HW - first_HW.mean(), second_HW - second_HW.mean()
    return float((first_HW * second_HW).sum() / np.sqrt((first_HW**2).sum() * (second_HW**2).sum() + 1e-6))
