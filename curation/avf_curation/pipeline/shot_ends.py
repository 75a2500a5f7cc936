"""Where the shots of a video end: at the cuts of the shot detectors, and on either side of a dissolve or a wipe."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from avf_shards.timeline import Span

from avf_curation.detectors.dissolves import DissolveDetector
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.types import Bytes
from avf_curation.stages.scenes import ScenesConfig

if TYPE_CHECKING:  # it imports torch, which only runs with the network need
    from avf_curation.detectors.transnetv2 import TransNetV2


class ShotChange(Protocol):
    """A change from one shot to the next, as a detector of such changes tells it."""

    @property
    def span(self) -> Span:
        """The frames that show something of both; empty at a cut."""

    @property
    def dissolve(self) -> float:
        """The share of the change of the picture that a mixture explains; 0: the detector measures another score."""

    @property
    def transition(self) -> float:
        """The probability of the change; 0: the detector measures another score."""


class ShotChangeDetector(Protocol):
    """Takes a video frame by frame and tells of the changes in order."""

    @property
    def settled(self) -> int:
        """The index before which no further change begins."""

    def feed(self, small_HWC: Bytes | None) -> Sequence[ShotChange]:
        """Take the next frame as a small BGR image, None where it is the one before; return what has ended."""

    def finish(self) -> Sequence[ShotChange]:
        """Return the changes that were not told yet."""


@dataclass(frozen=True, kw_only=True)
class ShotSearch:
    """What the detectors of a recipe may do with the shots of a video, and have."""

    #: False cuts nothing out; a dissolve that TransNetV2 sees is a cut in its middle then.
    find_dissolves: bool = True
    network: "TransNetV2 | None" = None  # needed where the recipe names transnetv2


WHOLE_SEARCH = ShotSearch()


@dataclass(frozen=True, kw_only=True)
class ShotEnd:
    """The end of a shot."""

    stop_frame: int  # of the shot
    dissolve: float = 0.0  # share of the change of the picture that a mixture explains; 0: the shot is no dissolve
    transition: float = 0.0  # probability that the shot is a change of shots; 0: it is none


class ShotEnds:
    """Takes a video frame by frame and tells where shots end, in order, once no dissolve can lie across the end."""

    def __init__(self, config: ScenesConfig, *, first_index: int, search: ShotSearch = WHOLE_SEARCH) -> None:
        """Begin at `first_index`."""
        self._boundaries = ShotBoundaryDetector(config)
        self._changes: ShotChangeDetector | None = None
        if "transnetv2" in config.detectors:
            from avf_curation.detectors.transitions import TransitionDetector

            assert search.network is not None, "a worker of a run with this detector loads it"
            threshold = config.transnetv2_threshold
            self._changes = TransitionDetector(
                search.network, threshold, first_index, cuts_only=not search.find_dissolves
            )
        elif search.find_dissolves and "dissolve" in config.detectors:
            self._changes = DissolveDetector(config.max_dissolve, first_index)
        self._cuts: list[int] = []  # ascending, not told yet
        self._last = first_index  # the latest frame

    def feed(self, index: int, small: Bytes | None) -> list[ShotEnd]:
        """Take frame `index` as a small BGR image (H, W, 3), None where it is the one before; return the ends."""
        self._last = index
        if small is not None:
            self._add_cuts(self._boundaries.feed(index, small))
        if self._changes is None:
            return self._cuts_up_to(index)
        ended = self._changes.feed(small)
        return self._merge(ended) + self._cuts_up_to(min(index, self._changes.settled))

    def finish(self) -> list[ShotEnd]:
        """Return the ends that were not told yet, but for the end of the video."""
        self._add_cuts(self._boundaries.finish())
        ended = self._changes.finish() if self._changes is not None else []
        return self._merge(ended) + self._cuts_up_to(self._last)

    def _add_cuts(self, cuts: list[int]) -> None:
        for cut in cuts:
            insort(self._cuts, cut)

    def _merge(self, changes: Sequence[ShotChange]) -> list[ShotEnd]:
        """Return the ends up to the last change; a cut that was seen inside of one is none."""
        ends = []
        for change in changes:
            start, stop = change.span.start_frame, change.span.stop_frame
            ends += self._cuts_up_to(start - 1)
            ends.append(ShotEnd(stop_frame=start))
            if start < stop:
                ends.append(ShotEnd(stop_frame=stop, dissolve=change.dissolve, transition=change.transition))
            self._cuts = [cut for cut in self._cuts if cut > stop]
        return ends

    def _cuts_up_to(self, last: int) -> list[ShotEnd]:
        ready = [cut for cut in self._cuts if cut <= last]
        self._cuts = self._cuts[len(ready) :]
        return [ShotEnd(stop_frame=cut) for cut in ready]
