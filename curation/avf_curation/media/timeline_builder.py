"""Builds the 25 fps timeline of a video from its frames, one after another."""

import heapq
import logging
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.damage import DamageLog, ShownFrame
from avf_curation.media.file_clock import FileClock
from avf_curation.media.frame_placement import held_indices, round_to_frames, unseen_span
from avf_curation.media.packet_damage import LOST_STEPS
from avf_curation.media.picture_recorder import PictureRecorder
from avf_curation.media.types import MediaConfig, MediaError, VideoTrack
from avf_curation.media.video_decoder import DecodedFrame, VideoDecoder, nominal_step

log = logging.getLogger(__name__)

# Of the frames; more without a place of their own mean that the timestamps are wrong. In files that were joined, as
# recordings of calls are at each change of size, the second part may begin a few frames before the first one ends.
_MAX_UNPLACED_SHARE = 0.05
_MARGIN_S = 1.0  # around a clock that jumps alone


@dataclass(kw_only=True)
class TimelineFrame:
    """An index of the 25 fps timeline and the source frame that is shown there."""

    index: int  # frame number on the timeline
    frame: Any  # PyAV's VideoFrame
    repeated: bool  # the source frame is the one of the index before


class TimelineBuilder:
    """Places frames in the order of presentation. A frame is placed when the timestamp of the next one is known."""

    def __init__(self, config: MediaConfig, video: Any, clock: FileClock) -> None:
        self._clock = clock
        self._max_gap_s = config.max_gap_s
        self._max_duration_s = config.max_duration_s
        self._video = video
        self._tick = video.time_base  # seconds, a fraction
        self._default_step = self._step = nominal_step(video)
        self._shown: DecodedFrame | None = None  # the latest frame, which is not placed yet
        self._shown_time = 0
        self._end_ticks = 0  # where the last frame ends, counted from frame 0
        self._unplaced = self._frames = 0
        self._passed_over: list[DecodedFrame] = []  # unplaced frames after the shown one
        self._pts: list[int] = []
        self._copies: dict[int, int] = {}
        self._source_ticks = array("q")  # of every frame of the source, counted from frame 0
        self._source_entries = array("q")  # of each index: the entry of the frame above that is shown
        self._shown_entry = 0
        self._gaps: list[Span] = []
        self._key_indices: list[int] = []
        self._joins: list[int] = []
        self._recordings_passed = 0  # entries of the decoder's list
        self._before_range: tuple[DecodedFrame, int] | None = None  # the latest frame before the range, and its time
        self._pictures = PictureRecorder(float(video.average_rate or FRAMES_PER_SECOND))
        self.first_time: int | None = None  # timestamp of frame 0, in ticks
        self._damage = DamageLog()
        self._failed_times: list[int] = []  # heap: when damaged frames that no other refers to would be presented

    @property
    def next_time(self) -> int:
        """The timestamp of a frame that has none: the distance of the last two frames stands in."""
        if self._shown is not None:
            return self._shown_time + self._step
        return 0 if self._before_range is None else self._before_range[1] + self._default_step

    @property
    def placed(self) -> int:
        """The number of indices that have a frame."""
        return len(self._pts)

    def note_failure(self, number: int, is_reference: bool, time: int | None) -> None:
        """Take note of a packet that is damaged or does not decode, as VideoDecoder tells it."""
        self._damage.note_packet(number, is_reference)
        if not is_reference and time is not None:
            heapq.heappush(self._failed_times, time)

    def hide(self, decoded: DecodedFrame) -> None:
        """Take note of a frame that is never shown, whose damage may last into the timeline."""
        self._note_damage(decoded, range(0))

    def pass_over(self, decoded: DecodedFrame, time: int) -> None:
        """Take note of a frame before the range that is the input: the last of them is shown where the range begins."""
        if self._before_range is not None:
            self._note_damage(self._before_range[0], range(0))
        self._before_range = decoded, time

    def begin_range(self, start: int, next_time: int | None) -> None:
        """Begin the timeline with the frame before the range, which is shown until the first frame of the range comes.

        Args:
            start: of the range, in ticks.
            next_time: when the first frame of the range is presented; None: the file has no more frames.
        """
        if self._before_range is None:
            return
        decoded, time = self._before_range
        self._before_range = None
        lasts_until = time + (decoded.frame.duration or self._default_step) if next_time is None else next_time
        if lasts_until > start:
            self.first_time = start
            self._shown, self._shown_time = decoded, time
            self._source_ticks.append(time - start)
            self._frames += 1
        else:
            self._note_damage(decoded, range(0))

    def add(self, decoded: DecodedFrame, time: int, decoder: VideoDecoder) -> Iterator[TimelineFrame]:
        """Yield the indices of the frame before this one. Raises MediaError.

        Args:
            time: when the frame is presented, in ticks.
            decoder: knows the recordings of the file so far.
        """
        self._frames += 1
        if self._shown is None or self.first_time is None:
            self.first_time = self._shown_time = time
            self._shown = decoded
            self._source_ticks.append(0)
            return
        entry = len(self._source_ticks)
        self._source_ticks.append(time - self.first_time)
        if time <= self._shown_time:  # the shown frame has this position already
            self._unplaced += 1
            self._passed_over.append(decoded)
            return
        earlier, later = self._shown_time - self.first_time, time - self.first_time
        tick = self._tick
        if self._is_absurd(later):
            raise MediaError("absurd_timestamps", f"timestamps run past {self._max_duration_s:g} s")
        indices = held_indices(earlier, later, len(self._pts), tick.numerator, tick.denominator)
        self._gaps += unseen_span(indices, earlier, later, float(tick), max_gap_s=self._max_gap_s)
        self._note_failed(indices, time)
        self._note_long_frame(indices, time)
        yield from self._emit(self._shown, indices, decoder, decoded.frame)
        self._step = time - self._shown_time
        self._shown, self._shown_time, self._shown_entry = decoded, time, entry

    def end(
        self, decoder: VideoDecoder, max_frames: int | None, next_time: int | None = None
    ) -> Iterator[TimelineFrame]:
        """Yield the indices of the last frame. Raises MediaError.

        Args:
            decoder: has come to its end, or to that of the range.
            max_frames: length of the range that is the input; None where the input is the whole file.
            next_time: of the first frame behind the range; None: the file ends.
        """
        if self._shown is None or self.first_time is None:
            raise MediaError("no_frames", "the video stream has no frame that can be decoded")
        # A step after a long gap is no frame duration: ten nominal ones at most.
        last_ticks = self._shown.frame.duration or min(self._step, 10 * self._default_step)
        if self._is_absurd(self._shown_time - self.first_time + last_ticks):
            last_ticks = self._default_step
        end_time = max(self._shown_time + last_ticks, decoder.repeated_until or 0) if next_time is None else next_time
        self._end_ticks = end_time - self.first_time
        frames = round_to_frames(self._end_ticks, self._tick.numerator, self._tick.denominator)
        if max_frames is not None:
            frames = min(frames, max_frames)
        if frames > self._max_duration_s * FRAMES_PER_SECOND:  # a frame of 300 bytes may last for days, by its rate
            raise MediaError("absurd_timestamps", f"the last frame runs past {self._max_duration_s:g} s")
        stop = max(frames, len(self._pts), 1)
        indices = range(len(self._pts), stop)
        earlier = self._shown_time - self.first_time
        self._gaps += unseen_span(indices, earlier, self._end_ticks, float(self._tick), max_gap_s=self._max_gap_s)
        self._note_failed(indices, self.first_time + self._end_ticks)
        yield from self._emit(self._shown, indices, decoder)
        if self._unplaced > max(1, _MAX_UNPLACED_SHARE * self._frames):
            raise MediaError(
                "unplaced_frames",
                f"{self._unplaced} of {self._frames} frames that decode have no place of their own on the timeline",
            )

    def _is_absurd(self, ticks: int) -> bool:
        return bool(ticks * self._tick > self._max_duration_s)

    def declared_frames(self) -> int:
        """Return the frames from the first one that is shown to the declared end of the stream; 0: not declared.

        The declared duration counts from the start of the stream, of which an edit list may hide the first frames. It
        is rounded by many programs, so an end that is less than a frame of the source away is no missing picture.
        """
        video, tick = self._video, self._tick
        if self.first_time is None:
            return 0
        if self._clock.is_changed:  # FFmpeg's duration was worked out from timestamps that do not hold
            ticks = self._clock.ends[video.index] - self.first_time
        elif video.duration:
            ticks = video.duration - max(0, self.first_time - (video.start_time or 0))
        else:
            return 0
        missing = ticks - self._end_ticks
        if ticks * tick > self._max_duration_s or (missing < self._default_step and not self._damage.is_open):
            return 0
        return round_to_frames(max(0, ticks), tick.numerator, tick.denominator)

    def track(self, frames: int, decoder: VideoDecoder) -> VideoTrack:
        """Return the finished track on a timeline of `frames`."""
        self._note_out_of_step(frames)
        return VideoTrack(
            frames=frames,
            pts=np.asarray(self._pts, np.int64),
            copies=self._copies,
            gaps=tuple(self._gaps),
            damaged=self._damage.finish(len(self._pts)),
            joins=tuple(self._joins),
            recordings=1 + sum(restart.begins_recording for restart in self._clock.restarts),
            repaired_times=self._clock.repaired,
            key_indices=np.asarray(self._key_indices, np.int64),
            # By times that are unique.
            is_seekable=not (self._clock.is_changed or decoder.has_untimed or decoder.has_copies or self._unplaced),
            pictures=tuple(self._pictures.runs),
            deinterlaced=self._pictures.deinterlaced,
            source_times_s=np.asarray(self._source_ticks, np.float64) * float(self._tick),
            source_entries=np.asarray(self._source_entries, np.int64),
            telecined=self._pictures.is_telecined,
        )

    def _emit(
        self, shown: DecodedFrame, indices: range, decoder: VideoDecoder, following: Any | None = None
    ) -> Iterator[TimelineFrame]:
        index = len(self._pts)
        self._note_damage(shown, indices)
        if shown.is_key and indices:
            self._key_indices.append(index)
        for number, recording in decoder.recordings[self._recordings_passed :]:
            if shown.number < number:
                break
            self._recordings_passed += 1
            begins_recording = self._clock.restarts[recording - 1].begins_recording
            if begins_recording and index > 0 and index not in self._joins[-1:]:
                self._joins.append(index)
        self._pictures.note(shown.frame, indices, following)
        for count, index in enumerate(indices):
            self._pts.append(shown.pts)
            self._source_entries.append(self._shown_entry)
            if shown.copy:
                self._copies[index] = shown.copy
            yield TimelineFrame(index=index, frame=shown.frame, repeated=count > 0)
        for decoded in self._passed_over:  # a key frame that is not shown ends damage, too
            self._note_damage(decoded, range(0))
        self._passed_over = []

    def _note_out_of_step(self, frames: int) -> None:
        """Note the stretches in which picture and sound do not belong together, on a timeline of `frames`."""
        assert self.first_time is not None
        first_s = float(self.first_time * self._tick)
        restarts = self._clock.restarts
        for number, restart in enumerate(restarts):
            if restart.is_out_of_step:
                # Nearer than a second to a restart, the times of the file say little.
                start = (restart.start_s - first_s - _MARGIN_S) * FRAMES_PER_SECOND
                stop = float(frames)
                if number + 1 < len(restarts):
                    stop = (restarts[number + 1].start_s - first_s + _MARGIN_S) * FRAMES_PER_SECOND
                if stop > 0 and start < frames:
                    self._damage.note_span(max(0, int(start)), min(frames, math.ceil(stop)))

    def _note_failed(self, indices: range, later: int) -> None:
        """Note the damaged frames without successors between the shown frame, which has `indices`, and the next one.

        Args:
            later: when the next frame is presented, in ticks.
        """
        assert self.first_time is not None
        while self._failed_times and self._failed_times[0] < later:
            time = heapq.heappop(self._failed_times)
            start = indices.start
            # The second field of a frame has a time of its own, half a step later.
            if time - self._shown_time > 0.75 * self._default_step:
                earlier, failed = self._shown_time - self.first_time, time - self.first_time
                start = held_indices(earlier, failed, start, self._tick.numerator, self._tick.denominator).stop
            if time >= self.first_time:
                self._damage.note_span(start, indices.stop)

    def _note_long_frame(self, indices: range, later: int) -> None:
        """Note the indices at which the shown frame stays for longer than the stream's frames do.

        Args:
            later: when the next frame is presented, in ticks.
        """
        assert self._shown is not None
        assert self.first_time is not None
        step = self._default_step
        if later - self._shown_time > LOST_STEPS * step:
            earlier, tick = self._shown_time - self.first_time, self._tick
            shown = held_indices(earlier, earlier + step, indices.start, tick.numerator, tick.denominator)
            self._damage.note_long_frame(shown.stop, indices.stop, self._shown.number)

    def _note_damage(self, decoded: DecodedFrame, indices: range) -> None:
        index = len(self._pts)
        self._damage.note_frame(
            ShownFrame(
                index=index,
                stop=index + len(indices),
                number=decoded.number,
                is_key=decoded.is_key,
                is_damaged=decoded.is_damaged,
                is_reference=decoded.is_reference,
            )
        )
