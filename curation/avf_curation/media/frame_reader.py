"""Reads spans of a video a second time, bit-equal to the sequential pass, each part of the file only a few times."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.file_clock import FileClock, PacketClock
from avf_curation.media.picture_format import FrameTraits
from avf_curation.media.presentation_times import MAX_REORDERED
from avf_curation.media.types import MediaError, VideoTrack
from avf_curation.media.video_decoder import DecodedFrame, VideoDecoder

log = logging.getLogger(__name__)

_SEEK_BACK_S = (0.0, 4.0)  # how far before a frame decoding restarts, by attempt; then at the start of the file
_LONG_GROUP_FRAMES = 10 * FRAMES_PER_SECOND  # between key frames: from here on several decoders are kept
_MAX_CURSORS = 3  # a span is read for the detector, for the first face's crops, and for another face's
OpenVideo = Callable[[], tuple[Any, Any]]
"""Opens the input and returns the container and its video stream."""


@dataclass(kw_only=True, eq=False)
class _Cursor:
    """A decoder that stands at a frame and can go on from there."""

    container: Any
    video: Any
    index: int = -1  # of the timeline, latest that was read; -1: the cursor stands nowhere
    frame: DecodedFrame | None = None  # shown at `index`
    is_reading: bool = False  # a span is being read with it
    frames: Iterator[DecodedFrame] = field(default_factory=lambda: iter(()))  # those after `frame`

    def advance(self, pts: int, copy: int = 0) -> bool:
        """Go on to the frame of a timestamp, of which `copy` frames come before it. Return whether there is one."""
        late = 0
        while self.frame is not None and (self.frame.pts, self.frame.copy) != (pts, copy):
            late += self.frame.pts > pts
            self.frame = None if late > MAX_REORDERED else next(self.frames, None)
        return self.frame is not None


class FrameReader:
    """Reads spans of an input whose track is known.

    A span that begins after the frame where a decoder stands is read by going on, unless a key frame lies between: then
    decoding starts there. Where key frames are far apart, or the file has no timestamps to seek by, a few decoders are
    kept, so that reading all spans in order, each several times, costs a fixed number of decodes of the file. Spans may
    be read at the same time in one thread: each has a decoder of its own until its iterator ends or is closed.

    Args:
        container, video: the input, opened.
        reopen: opens the input once more.
        clock: of the file.
    """

    def __init__(self, container: Any, video: Any, reopen: OpenVideo, track: VideoTrack, clock: FileClock) -> None:
        self._cursors = [_Cursor(container=container, video=video)]
        self._reopen, self._track, self._clock = reopen, track, clock
        edges = np.concatenate([track.key_indices, [track.decoded_frames]])
        has_long_group = len(edges) < 2 or int(np.diff(edges).max()) > _LONG_GROUP_FRAMES
        self._max_cursors = _MAX_CURSORS if has_long_group or not track.is_seekable else 1

    def close(self) -> None:
        """Close the input."""
        for cursor in self._cursors:
            cursor.container.close()

    def read(self, span: Span) -> Iterator[Any]:
        """Yield the source frame of each index in `span`. Raises MediaError."""
        span_pts = self._track.pts[span.start_frame : span.stop_frame]
        if len(span_pts) != span.frames:
            raise MediaError("decode", f"frames [{span.start_frame}, {span.stop_frame}) reach past what decodes")
        cursor = self._cursor_at(span.start_frame)
        cursor.is_reading = True
        try:
            yield from self._read_with(cursor, span)
        finally:
            self._release(cursor)

    def _read_with(self, cursor: _Cursor, span: Span) -> Iterator[Any]:
        for index, pts in enumerate(self._track.pts[span.start_frame : span.stop_frame], span.start_frame):
            if not cursor.advance(int(pts), self._track.copies.get(index, 0)):
                cursor.index = -1
                raise MediaError("decode", "the span does not decode a second time")
            cursor.index = index
            assert cursor.frame is not None
            frame = cursor.frame.frame
            # After a seek the decoder may not know yet, or know too early, what a later header says.
            aspect, interlaced = self._track.picture_at(index).pixel_aspect, bool(self._track.deinterlaced[index])
            frame.opaque = FrameTraits(pixel_aspect=aspect, interlaced=interlaced)
            yield frame

    def _release(self, cursor: _Cursor) -> None:
        """Let other spans use a cursor, or close it where spans that were read at the same time needed too many."""
        cursor.is_reading = False
        if len(self._cursors) > self._max_cursors:
            self._cursors.remove(cursor)
            cursor.container.close()

    def _cursor_at(self, index: int) -> _Cursor:
        """Return a cursor that stands at `index` or can go on to it. Raises MediaError."""
        keys = self._track.key_indices
        count = int(np.searchsorted(keys, index, "right"))
        key_index = int(keys[count - 1]) if count and self._track.is_seekable else 0
        pts = int(self._track.pts[index])
        free = [cursor for cursor in self._cursors if not cursor.is_reading]
        ahead = [cursor for cursor in free if cursor.frame is not None and key_index <= cursor.index <= index]
        if ahead:
            cursor = max(ahead, key=lambda c: c.index)
        else:
            cursor = self._free_cursor()
            if not self._track.is_seekable or not any(self._seek(cursor, pts, back_s) for back_s in _SEEK_BACK_S):
                self._rewind(cursor)
        self._cursors.remove(cursor)
        self._cursors.append(cursor)  # the latest one last
        if not cursor.advance(pts, self._track.copies.get(index, 0)):
            cursor.index = -1
            raise MediaError("decode", f"frame {index} does not decode a second time")
        cursor.index = index
        return cursor

    def _free_cursor(self) -> _Cursor:
        """Return a cursor that stands nowhere: a new one while more may be open, else the one unused for longest."""
        free = [cursor for cursor in self._cursors if not cursor.is_reading]
        idle = [cursor for cursor in free if cursor.index < 0]
        if idle:
            return idle[0]
        if free and len(self._cursors) >= self._max_cursors:
            return free[0]
        container, video = self._reopen()
        self._cursors.append(_Cursor(container=container, video=video))
        return self._cursors[-1]

    def _seek(self, cursor: _Cursor, pts: int, back_s: float) -> bool:
        """Seek to a key frame at least `back_s` before a frame and go on to it. Return whether the frame is clean.

        A seek may land behind the frame, or on a key frame whose successors refer to frames before it (open GOP).
        """
        target = max(pts - int(back_s / float(cursor.video.time_base)), int(self._track.pts.min()))
        cursor.index, cursor.frame = -1, None
        try:
            cursor.container.seek(target, stream=cursor.video)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):
            return False
        cursor.frames = VideoDecoder(cursor.container, cursor.video, PacketClock(self._clock)).frames()
        cursor.frame = next(cursor.frames, None)
        if cursor.frame is None or cursor.frame.pts > pts:
            log.debug("no seek to timestamp %d from %g s before it", pts, back_s)
            return False
        return cursor.advance(pts) and cursor.frame is not None and not cursor.frame.is_damaged

    def _rewind(self, cursor: _Cursor) -> None:
        """Start at the first packet: some demuxers cannot rewind, so the input is opened once more."""
        cursor.container.close()
        cursor.container, cursor.video = self._reopen()
        cursor.frames = VideoDecoder(cursor.container, cursor.video, PacketClock(self._clock)).frames()
        cursor.index, cursor.frame = -1, next(cursor.frames, None)
