"""Decodes pictures ahead of the network, over the ends of stretches and tracks; their order stays.

Threads, and no processes: JPEG, H.264 and resizing run outside the GIL, nothing is copied between processes, and none
is forked beside CUDA or left behind. What is decoded and not yet taken is bounded by the number of threads.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avf_training.framewise.tracks.extractor import PictureFormat
from avf_training.framewise.tracks.footage import Footage, PreparedPictures, PreparePictures
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput

_AHEAD = 2  # preparations beside those that threads work at, which wait for the network


@dataclass(frozen=True, kw_only=True)
class _Begin:
    """A stretch begins, or its track ends with an error."""

    track: int
    stretch: FootageStretch | Exception


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """Pictures of the stretch that began last."""

    track: int
    future: Future[PreparedPictures]


class FrameFeed:
    """The stretches of tracks, whose pictures are prepared while the network works. It is a context manager."""

    def __init__(self, picture_input: PictureFormat | None, workers: int) -> None:
        """Start no thread yet.

        Args:
            picture_input: what the extractor takes; with None nothing is prepared ahead.
            workers: threads; with 0 everything happens where the extractor asks for it.
        """
        self._input = picture_input
        self._pool = ThreadPoolExecutor(workers, "prepare") if workers and picture_input is not None else None
        self._limit = workers + _AHEAD
        self._coming: Iterator[_Begin | _Pictures] = iter(())
        self._ready: deque[_Begin | _Pictures] = deque()
        self._track = 0  # that the extractor is at

    def __enter__(self) -> "FrameFeed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the batches that threads are at, and drop the others."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def tracks(self, inputs: Iterable[TrackInput]) -> Iterator[tuple[TrackInput, Iterator[FootageStretch]]]:
        """Yield each input with its stretches, which raise what `TrackInput.read` and decoding raise.

        Stretches of an input that are not taken are dropped when the next input is.
        """
        listed = list(inputs)
        self._coming = iter(()) if self._pool is None else self._start(listed)
        for track, each in enumerate(listed):
            self._track = track
            yield each, each.read() if self._pool is None else self._stretches(track)

    def take_pictures(self) -> Iterator[PreparedPictures]:
        """Yield what was prepared of the stretch that began last. Raises FaultError."""
        while isinstance(item := self._peek(), _Pictures) and item.track == self._track:
            self._ready.popleft()
            yield item.future.result()

    def _stretches(self, track: int) -> Iterator[FootageStretch]:
        while (item := self._peek()) is not None and item.track <= track:
            self._ready.popleft()
            if isinstance(item, _Pictures):  # of a stretch that was left before its end
                item.future.cancel()
            elif item.track == track:
                if isinstance(item.stretch, Exception):
                    raise item.stretch
                assert self._input is not None
                footage = FedFootage(item.stretch.footage, self._input, self)
                yield replace(item.stretch, footage=footage)

    def _peek(self) -> _Begin | _Pictures | None:
        """Return what comes next, after as much as may be in work was started."""
        while self._has_room() and (item := next(self._coming, None)) is not None:
            self._ready.append(item)
        return self._ready[0] if self._ready else None

    def _has_room(self) -> bool:
        prepared = sum(isinstance(item, _Pictures) for item in self._ready)
        return prepared < self._limit and len(self._ready) < 4 * self._limit

    def _start(self, inputs: list[TrackInput]) -> Iterator[_Begin | _Pictures]:
        """Yield beginnings and pictures in order, and start to prepare the latter."""
        assert self._input is not None
        assert self._pool is not None
        pinned = self._input.device.type == "cuda"
        for track, each in enumerate(inputs):
            try:
                for stretch in each.read():
                    yield _Begin(track=track, stretch=stretch)
                    for prepare in stretch.footage.preparations(self._input.size_px, pinned=pinned):
                        if track < self._track:  # it failed
                            break
                        yield _Pictures(track=track, future=self._pool.submit(prepare))
                    if track < self._track:
                        break
            except Exception as error:  # raised where the track is taken
                yield _Begin(track=track, stretch=error)


class FedFootage:
    """Footage whose pictures come from a feed, once."""

    def __init__(self, footage: Footage, picture_input: PictureFormat, feed: FrameFeed) -> None:
        """Wrap footage that is prepared for `picture_input`."""
        self._footage, self._input, self._feed = footage, picture_input, feed

    @property
    def fps(self) -> float:
        """Return the frames a second."""
        return self._footage.fps

    @property
    def frames(self) -> int:
        """Return the number of frames."""
        return self._footage.frames

    def pictures(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        """Yield batches of the pictures in order, ImageNet-normalized, (B, 3, P, P). Raises FaultError."""
        assert (size_px, device) == (self._input.size_px, self._input.device)
        for prepared in self._feed.take_pictures():
            yield from prepared.batches(size_px, device)

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        """Yield the functions of the footage behind."""
        return self._footage.preparations(size_px, pinned=pinned)

    def wave(self) -> npt.NDArray[np.float32]:
        """Return the sound."""
        return self._footage.wave()
