"""Where the shots of a video end: at the cuts of the shot detectors, and on either side of a dissolve."""

from bisect import insort
from dataclasses import dataclass

from avf_curation.detectors.dissolves import Dissolve, DissolveDetector
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.types import Bytes
from avf_curation.stages.scenes import ScenesConfig


@dataclass(frozen=True, kw_only=True)
class ShotEnd:
    """The end of a shot."""

    stop_frame: int  # of the shot
    dissolve: float = 0.0  # share of the change of the picture that a mixture explains; 0: the shot is no dissolve


class ShotEnds:
    """Takes a video frame by frame and tells where shots end, in order, once no dissolve can lie across the end."""

    def __init__(self, config: ScenesConfig, *, first_index: int, find_dissolves: bool) -> None:
        """Begin at `first_index`."""
        self._boundaries = ShotBoundaryDetector(config)
        self._dissolves = DissolveDetector(config.max_dissolve, first_index) if find_dissolves else None
        self._cuts: list[int] = []  # ascending, not told yet
        self._last = first_index  # the latest frame

    def feed(self, index: int, small: Bytes | None) -> list[ShotEnd]:
        """Take frame `index` as a small BGR image (H, W, 3), None where it is the one before; return the ends."""
        self._last = index
        if small is not None:
            self._add_cuts(self._boundaries.feed(index, small))
        if self._dissolves is None:
            return self._cuts_up_to(index)
        ended = self._dissolves.feed(small)
        return self._merge(ended) + self._cuts_up_to(min(index, self._dissolves.settled))

    def finish(self) -> list[ShotEnd]:
        """Return the ends that were not told yet, but for the end of the video."""
        self._add_cuts(self._boundaries.finish())
        ended = self._dissolves.finish() if self._dissolves is not None else []
        return self._merge(ended) + self._cuts_up_to(self._last)

    def _add_cuts(self, cuts: list[int]) -> None:
        for cut in cuts:
            insort(self._cuts, cut)

    def _merge(self, dissolves: list[Dissolve]) -> list[ShotEnd]:
        """Return the ends up to the last dissolve; a cut that was seen inside of one is none."""
        ends = []
        for dissolve in dissolves:
            start, stop = dissolve.span.start_frame, dissolve.span.stop_frame
            ends += self._cuts_up_to(start - 1)
            ends += [ShotEnd(stop_frame=start), ShotEnd(stop_frame=stop, dissolve=dissolve.share)]
            self._cuts = [cut for cut in self._cuts if cut > stop]
        return ends

    def _cuts_up_to(self, last: int) -> list[ShotEnd]:
        ready = [cut for cut in self._cuts if cut <= last]
        self._cuts = self._cuts[len(ready) :]
        return [ShotEnd(stop_frame=cut) for cut in ready]
