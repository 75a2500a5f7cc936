"""How long the damage of a packet lasts: up to the next key frame that decodes cleanly."""

from collections import deque
from dataclasses import dataclass

from avf_shards.timeline import Span

from avf_curation.media.presentation_times import MAX_REORDERED


@dataclass(frozen=True, kw_only=True)
class ShownFrame:
    """What the damage log has to know of a frame that is presented."""

    index: int  # first index of the timeline that shows the frame, or the next one where the frame is skipped
    stop: int  # the index after the last one that shows the frame; `index` where the frame is skipped
    number: int  # of the packet that the frame was in, counted in decoding order
    is_key: bool  # later frames refer to no frame before this one
    is_damaged: bool  # the decoder, or the container, says that data are missing
    is_reference: bool = True  # frames after this one may refer to it


class DamageLog:
    """Collects the stretches of a timeline in which pictures are damaged.

    Frames are decoded in one order and presented in another. A frame is damaged from the first damaged packet on, in
    decoding order, until a clean key frame is presented that was decoded after the damage.
    """

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._first = self._last = -1  # numbers of the first and last damaged packet of the open stretch; -1: none
        self._latest: int | None = None  # number of the latest damaged packet
        self._long_frames: deque[tuple[int, int, int]] = deque(maxlen=MAX_REORDERED)  # (start, stop, number)
        self._start: int | None = None  # of the open stretch
        self._recent: deque[tuple[int, int]] = deque(maxlen=MAX_REORDERED)  # (index, number) of presented frames

    @property
    def is_open(self) -> bool:
        """Whether no clean key frame has come since the latest damage."""
        return self._first >= 0

    def note_packet(self, number: int, is_reference: bool = True) -> None:
        """Note a damaged packet. If other frames may refer to its frame, they are damaged, too."""
        self._latest = number
        for start, stop, frame_number in self._long_frames:
            if abs(frame_number - number) <= MAX_REORDERED:
                self.note_span(start, stop)
        self._long_frames.clear()
        if not is_reference:
            return
        if self._first < 0:
            self._first = number
        self._last = number

    def note_span(self, start: int, stop: int) -> None:
        """Note a stretch of the timeline that cannot be used, and that damages nothing else."""
        if stop > start:
            self._spans.append(Span(start, stop))

    def note_long_frame(self, start: int, stop: int, number: int) -> None:
        """Note indices at which a frame stands in for another one, if data near its packet are lost."""
        if self._latest is not None and abs(number - self._latest) <= MAX_REORDERED:
            self.note_span(start, stop)
        else:
            self._long_frames.append((start, stop, number))

    def note_frame(self, frame: ShownFrame) -> None:
        """Note the next frame in the order of presentation."""
        if frame.is_damaged and not frame.is_reference:
            self.note_packet(frame.number, is_reference=False)
            self.note_span(frame.index, frame.stop)
        elif frame.is_damaged:
            self.note_packet(frame.number)
            # Frames that were decoded after this one, but presented before it, may refer to it.
            while self._start is None and self._recent and self._recent[-1][1] > frame.number:
                index, _ = self._recent.pop()
                if not self._recent or self._recent[-1][1] < frame.number:
                    self._start = index
        if self._first >= 0:
            if frame.is_key and not frame.is_damaged and frame.number > self._last:
                self._close(frame.index)
            elif self._start is None and frame.number >= self._first:
                self._start = frame.index if frame.number == self._first else self._after_latest(frame.index)
        self._recent.append((frame.index, frame.number))

    def finish(self, frames: int) -> tuple[Span, ...]:
        """Return the damaged stretches, in order and apart, of a timeline of `frames`."""
        if self._first >= 0:
            self._close(frames)
        merged: list[Span] = []
        for span in sorted(self._spans, key=lambda span: span.start_frame):
            stop = min(span.stop_frame, frames)
            if merged and span.start_frame <= merged[-1].stop_frame:
                merged[-1] = Span(merged[-1].start_frame, max(stop, merged[-1].stop_frame))
            elif span.start_frame < stop:
                merged.append(Span(span.start_frame, stop))
        return tuple(merged)

    def _close(self, stop: int) -> None:
        start = self._after_latest(stop) if self._start is None else self._start
        if stop > start:
            self._spans.append(Span(start, stop))
        self._first, self._last, self._start = -1, -1, None

    def _after_latest(self, index: int) -> int:
        """Return where a frame that is missing before `index` would have been shown."""
        return min(index, self._recent[-1][0] + 1) if self._recent else index
