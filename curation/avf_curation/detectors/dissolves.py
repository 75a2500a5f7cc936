"""Finds dissolves, fades and wipes: stretches in which all of the picture turns into another one.

A short one is seen in the frames of a second, a long one in every third frame of three seconds, within which people
change more than their picture does in a second of a long dissolve. Where it begins and ends is told from every frame.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from avf_shards.timeline import Span

from avf_curation.detectors.alignment import Image
from avf_curation.detectors.mixtures import SIZE_PX, Turn, explain_turn, find_ends, shrink_picture
from avf_curation.media.types import Bytes

MAX_FRAMES = 150  # of one dissolve; what goes on for longer is taken for another one
MIN_SHARE = 0.9  # of each window of a dissolve; of the best one it is the recipe's
MARGIN = 20  # frames that are looked at on either side of the windows with a change
LONG_FRAMES = 40  # from here on the windows of every third frame tell the ends of a dissolve, too


@dataclass(frozen=True, kw_only=True)
class _Lag:
    """Windows in which pictures are compared."""

    frames: int  # from the first to the last picture of a window
    stride: int  # frames between two pictures of a window
    step: int  # frames between two windows


_LAGS = (_Lag(frames=25, stride=1, step=5), _Lag(frames=75, stride=3, step=15))
MAX_DELAY = MAX_FRAMES + _LAGS[-1].frames + 2 * MARGIN + 2 * _LAGS[-1].step


@dataclass(frozen=True, kw_only=True)
class Dissolve:
    """A stretch in which one picture turns into another."""

    span: Span  # frames that show something of both
    dissolve: float  # share of the change that a single mixture of the two pictures, or a wipe, explains
    transition: float = 0.0  # no probability: the share is the score


@dataclass(frozen=True, kw_only=True)
class _Hit:
    """A window in which one picture turns into another."""

    start: int  # index of its first frame
    lag: _Lag
    turn: Turn


class DissolveDetector:
    """Takes a video frame by frame, and tells of a dissolve at most `MAX_DELAY` frames after its start."""

    def __init__(self, min_share: float, first_index: int = 0) -> None:
        """Begin at `first_index`.

        Args:
            min_share: a change of which a mixture or a wipe explains more than this share in a window is a dissolve.
        """
        self._min_share = min_share
        self._pictures: deque[Image] = deque()
        self._offset = first_index  # index of the first picture that is kept
        self._starts = [first_index for _ in _LAGS]  # of the windows that are looked at next
        self._hits: list[_Hit] = []  # of the dissolve that may go on, by start within each lag

    @property
    def settled(self) -> int:
        """The index before which no further dissolve begins."""
        return min([*self._starts, *(hit.start for hit in self._hits)]) - MARGIN

    def feed(self, small_HWC: Bytes | None) -> list[Dissolve]:
        """Take the next frame as a small BGR image, None where it is the one before; return what has ended."""
        if small_HWC is not None or not self._pictures:
            self._pictures.append(
                shrink_picture(small_HWC) if small_HWC is not None else np.zeros(SIZE_PX[::-1], np.float32)
            )
        else:
            self._pictures.append(self._pictures[-1])
        for number, lag in enumerate(_LAGS):
            start = self._starts[number]
            if start + lag.frames < self._offset + len(self._pictures):
                turn = explain_turn(self._cut(start, start + lag.frames, lag.stride))
                if turn.share > MIN_SHARE:
                    self._hits.append(_Hit(start=start, lag=lag, turn=turn))
                self._starts[number] += lag.step
        if not self._hits:
            ended = []
        else:
            latest, first = max(hit.start for hit in self._hits), min(hit.start for hit in self._hits)
            behind = min(self._starts)
            ended = self.finish() if behind > latest + MARGIN or behind > first + MAX_FRAMES else []
        for _ in range(self.settled - self._offset):
            self._pictures.popleft()
        self._offset = max(self._offset, self.settled)
        return ended

    def finish(self) -> list[Dissolve]:
        """Return the dissolves that are not known to have ended, or nothing."""
        hits, self._hits = self._hits, []
        short, long = ([hit for hit in hits if hit.lag == lag] for lag in _LAGS)
        dissolves = [dissolve for run in _runs(short) for dissolve in self._locate(run)]
        for dissolve in (dissolve for run in _runs(long) for dissolve in self._locate(run)):
            beside = [other for other in dissolves if _overlap(other.span, dissolve.span)]
            if not beside:
                dissolves.append(dissolve)
            elif dissolve.span.frames > LONG_FRAMES:
                dissolves = [other for other in dissolves if other not in beside] + [_join([dissolve, *beside])]
        return sorted(dissolves, key=lambda dissolve: dissolve.span.start_frame)

    def _locate(self, hits: list[_Hit]) -> list[Dissolve]:
        """Return the dissolve that windows in a row show, with its ends; none where a mixture explains too little."""
        share = max(hit.turn.share for hit in hits)
        if share <= self._min_share:
            return []
        first = max(self._offset, hits[0].start - MARGIN)
        last = min(hits[-1].start + hits[-1].lag.frames + MARGIN, self._offset + len(self._pictures) - 1)
        is_wipe = max(hits, key=lambda hit: hit.turn.share).turn.is_wipe
        start, stop = find_ends(self._cut(first, last), is_wipe=is_wipe)
        return [Dissolve(span=Span(first + start, first + stop), dissolve=share)]

    def _cut(self, first: int, last: int, stride: int = 1) -> list[Image]:
        """Return the pictures from one index to another, both included."""
        return [self._pictures[index - self._offset] for index in range(first, last + 1, stride)]


def _runs(hits: list[_Hit]) -> list[list[_Hit]]:
    """Return the windows of one lag, divided where none is for longer than the margin."""
    runs: list[list[_Hit]] = []
    for hit in hits:
        if runs and hit.start <= runs[-1][-1].start + MARGIN:
            runs[-1].append(hit)
        else:
            runs.append([hit])
    return runs


def _overlap(first: Span, second: Span) -> bool:
    return first.start_frame < second.stop_frame and second.start_frame < first.stop_frame


def _join(dissolves: list[Dissolve]) -> Dissolve:
    start = min(dissolve.span.start_frame for dissolve in dissolves)
    stop = max(dissolve.span.stop_frame for dissolve in dissolves)
    return Dissolve(span=Span(start, stop), dissolve=max(other.dissolve for other in dissolves))
