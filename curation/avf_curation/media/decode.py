"""Decodes an input with PyAV: once from start to end onto the 25 fps timeline, and later any span of it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.audio import read_audio
from avf_curation.media.audio_stream import choose_audio_stream
from avf_curation.media.container import MAX_DECODE_ERRORS, open_container
from avf_curation.media.picture_format import FrameTraits, credible_pixel_aspect, display_size, frame_traits
from avf_curation.media.tone_mapping import color_kind, is_convertible
from avf_curation.media.types import (
    AudioTrack,
    MediaConfig,
    MediaError,
    PictureRun,
    TimeRange,
    VideoTrack,
    nearest_indices,
    round_to_frames,
)

log = logging.getLogger(__name__)

_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art is not video
_MIN_SIDE_PX = 16  # frames below one macroblock cannot show a face
_SEEK_BACK_S = (0.0, 4.0, None)  # how far before a frame decoding restarts, by attempt; None: at the start of the file


@dataclass(kw_only=True)
class TimelineFrame:
    """An index of the 25 fps timeline and the source frame that is shown there."""

    index: int  # frame number on the timeline
    frame: Any  # PyAV's VideoFrame
    repeated: bool  # the source frame is the one of the index before


class MediaFile:
    """An opened input.

    `video_track` is set, and `read()` works, after `frames()` has run to its end or after `resume()`.

    Args:
        sound_path: the file that holds the sound; None for the video file itself.
        within: the part of the file that is the input, with frame 0 its first frame; None for all of the file.
    """

    def __init__(
        self, path: Path, config: MediaConfig, sound_path: Path | None = None, within: TimeRange | None = None
    ) -> None:
        self._path, self._sound_path, self._config = path, sound_path or path, config
        self._range = within
        self._container = open_container(path)
        streams = [s for s in self._container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
        self._video = streams[0] if streams else None
        if self._video is not None:
            self._video.thread_count = 1  # a worker owns one core
            self._video.codec_context.options = {"max_pixels": str(config.max_pixels)}
        self.video_track: VideoTrack | None = None
        self.start_s = 0.0  # time of frame 0 on the clock of the file
        self._pictures: list[PictureRun] = []
        self._first_pixel_aspect = self._video.codec_context.sample_aspect_ratio if self._video else None

    def resume(self, video_track: VideoTrack, start_s: float) -> None:
        """Take over the result of a sequential pass, perhaps of another process, so that `read` and `audio` work."""
        self.video_track, self.start_s = video_track, start_s

    @property
    def has_video(self) -> bool:
        """Return whether the input has a video stream that is not cover art."""
        return self._video is not None

    def close(self) -> None:
        """Close the input."""
        self._container.close()

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the sequential pass ------------------------------------------------------------------------------------

    def frames(self) -> Iterator[TimelineFrame]:
        """Yield every decodable index of the timeline in order, then set `video_track`. Raises MediaError."""
        video = self._video
        assert video is not None
        numerator, denominator = video.time_base.numerator, video.time_base.denominator
        default_step = round(denominator / numerator / float(video.average_rate or FRAMES_PER_SECOND)) or 1
        max_ticks = int(self._config.max_duration_s * denominator / numerator)
        pts: list[int] = []
        gaps: list[Span] = []
        errors: list[int] = []
        first_pts = shown_pts = -1
        shown: Any = None  # the latest frame: its indices are known when the timestamp of the next one is
        step = default_step

        def emit(frame: Any, frame_pts: int, indices: range) -> Iterator[TimelineFrame]:
            self._note_picture(frame, indices)
            for count, index in enumerate(indices):
                pts.append(frame_pts)
                yield TimelineFrame(index=index, frame=frame, repeated=count > 0)

        from_pts, to_pts = self._seek_range()
        for frame in self._decode_video(errors, pts):
            if from_pts is not None and (frame.pts is None or frame.pts < from_pts):
                errors.clear()  # these packets lie before the range
                continue
            if to_pts is not None and frame.pts is not None and frame.pts >= to_pts:
                break
            if shown is None:
                first_pts = shown_pts = frame.pts if frame.pts is not None else 0
                shown = frame
                self.start_s = float(first_pts * video.time_base)
                self._check_picture(frame)
                continue
            # Raw streams have no timestamps: the distance of the last two frames stands in.
            frame_pts = frame.pts if frame.pts is not None else shown_pts + step
            if frame_pts <= shown_pts:
                continue  # the timestamps run backwards; the shown frame has this position already
            if frame_pts - first_pts > max_ticks:
                raise MediaError("absurd_timestamps", f"timestamps run past {self._config.max_duration_s:g} s")
            step = frame_pts - shown_pts
            earlier, later = shown_pts - first_pts, frame_pts - first_pts
            indices = nearest_indices(earlier, later, len(pts), numerator, denominator)
            gaps += self._gap(earlier, later, numerator / denominator)
            yield from emit(shown, shown_pts, indices)
            shown_pts, shown = frame_pts, frame
        if shown is None:
            raise MediaError("no_frames", "the video stream has no frame that can be decoded")
        # A step after a long gap is no frame duration: ten nominal ones at most.
        last_ticks = shown.duration or min(step, 10 * default_step)
        total, declared = self._timeline_lengths(shown_pts - first_pts + last_ticks, len(pts))
        yield from emit(shown, shown_pts, range(len(pts), total))
        self._set_video_track(max(total, declared), pts, gaps, errors)

    def _timeline_lengths(self, ticks: int, emitted: int) -> tuple[int, int]:
        """Return the frames of the timeline by its timestamps and by what the input declares (0: nothing credible)."""
        video = self._video
        assert video is not None
        numerator, denominator = video.time_base.numerator, video.time_base.denominator
        total = max(round_to_frames(ticks, numerator, denominator), emitted, 1)
        declared = round_to_frames(video.duration, numerator, denominator) if video.duration else 0
        if self._range is not None:
            declared = round(self._range.seconds * FRAMES_PER_SECOND)
            total = max(min(total, declared), emitted)
        return total, 0 if declared > self._config.max_duration_s * FRAMES_PER_SECOND else declared

    def _set_video_track(self, frames: int, pts: list[int], gaps: list[Span], errors: list[int]) -> None:
        if errors:
            log.info("%r: %d packets or frames are damaged, near frames %s", str(self._path), len(errors), errors[:5])
        if gaps:
            log.info("%r: %d gaps between timestamps, first %s", str(self._path), len(gaps), gaps[0])
        self.video_track = VideoTrack(
            frames=frames,
            pts=np.asarray(pts, np.int64),
            gaps=tuple(gaps),
            errors=tuple(errors),
            pictures=tuple(self._pictures),
        )

    def _seek_range(self) -> tuple[int | None, int | None]:
        """Seek to the range and return the timestamps at which it starts and ends. Raises MediaError."""
        if self._range is None or self._video is None:
            return None, None
        video = self._video
        start = video.start_time or 0
        from_pts = start + round(self._range.start_s / float(video.time_base))
        to_pts = start + round(self._range.stop_s / float(video.time_base))
        if video.duration and from_pts >= start + video.duration:
            raise MediaError("range_outside", f"the file ends before {self._range.start_s:g} s, where the range begins")
        try:
            self._container.seek(max(from_pts, start), stream=video)
        except (av.error.FFmpegError, ValueError):  # the packets before the range are decoded and dropped
            log.debug("%r: no seek to %g s; decoding starts at the first packet", str(self._path), self._range.start_s)
        return from_pts, to_pts

    def _decode_video(self, errors: list[int], pts: list[int]) -> Iterator[Any]:
        """Yield decoded frames; append to `errors` the index that each packet that fails to decode would have had."""
        packets = self._container.demux(self._video)
        while True:
            try:
                packet = next(packets)
                decoded = packet.decode()
            except (StopIteration, EOFError):
                return
            except av.error.FFmpegError:
                if len(errors) > MAX_DECODE_ERRORS:
                    log.warning("%r: more than %d packets fail to decode", str(self._path), MAX_DECODE_ERRORS)
                    return
                errors.append(len(pts))
                continue
            for frame in decoded:
                if frame.is_corrupt and pts:  # before the first frame, after a seek, damage is normal
                    errors.append(len(pts))
                frame.opaque = FrameTraits(pixel_aspect=self._pixel_aspect())
                yield frame

    def _pixel_aspect(self) -> float:
        """Return the width over height of the stored pixels of the frame that was decoded last.

        The container's word holds, as for players, until the stream changes its own in mid-stream.
        """
        video = self._video
        assert video is not None
        latest = video.codec_context.sample_aspect_ratio
        if latest and self._first_pixel_aspect and latest != self._first_pixel_aspect:
            return credible_pixel_aspect(latest)
        return credible_pixel_aspect(video.sample_aspect_ratio, latest)

    def _note_picture(self, frame: Any, indices: range) -> None:
        """Begin a new stretch where the picture has another size or shape than at the index before."""
        if not indices:
            return
        (width, height), aspect = display_size(frame), frame_traits(frame).pixel_aspect
        run = PictureRun(
            start_frame=indices[0], width_px=width, height_px=height, pixel_aspect=aspect, colors=color_kind(frame)
        )
        if not self._pictures or replace(self._pictures[-1], start_frame=indices[0]) != run:
            self._pictures.append(run)
            if len(self._pictures) > 1 or run.pixel_aspect != 1 or run.colors:
                log.info("%r: an unusual picture: %s", str(self._path), run)

    def _check_picture(self, frame: Any) -> None:
        if not is_convertible(frame):
            raise MediaError("hdr", "the colours are those of Dolby Vision profile 5 or ICtCp, which are not converted")
        width, height = display_size(frame)
        if width < _MIN_SIDE_PX or height < _MIN_SIDE_PX or width * height > self._config.max_pixels:
            raise MediaError(
                "picture_size",
                f"frames of {width}x{height} pixels cannot be used: a side must be at least {_MIN_SIDE_PX} pixels, and "
                f"media.max_pixels allows {self._config.max_pixels} pixels",
            )

    def _gap(self, earlier: int, later: int, tick_s: float) -> list[Span]:
        """Return the indices between two timestamps that are further than max_gap_s / 2 from both, if any."""
        if (later - earlier) * tick_s <= self._config.max_gap_s:
            return []
        half = self._config.max_gap_s / 2
        start = int((earlier * tick_s + half) * FRAMES_PER_SECOND) + 1
        stop = int((later * tick_s - half) * FRAMES_PER_SECOND)
        return [Span(start, stop)] if stop > start else []

    # -- later reads ---------------------------------------------------------------------------------------------

    def read(self, span: Span) -> Iterator[Any]:
        """Yield the source frame of each index in `span`, bit-equal to the sequential pass. Raises MediaError."""
        assert self.video_track is not None
        span_pts = self.video_track.pts[span.start_frame : span.stop_frame]
        if len(span_pts) != span.frames:
            raise MediaError("decode", f"frames [{span.start_frame}, {span.stop_frame}) reach past what decodes")
        # A seek may land behind the frame or on a key frame whose successors refer to frames before it (open GOP).
        # Then decoding restarts earlier, in the end at the start of the file.
        for back_s in _SEEK_BACK_S:
            start = self._decode_from(int(span_pts[0]), back_s)
            if start is not None:
                break
            log.debug("%r: no seek to frame %d from %s s before it", str(self._path), span.start_frame, back_s)
        else:
            raise MediaError("decode", f"frame {span.start_frame} does not decode a second time")
        frame, rest = start
        for index, frame_pts in enumerate(span_pts, span.start_frame):
            while frame.pts is not None and frame.pts < frame_pts:
                frame = next(rest, None)
                if frame is None:
                    raise MediaError("decode", "the span does not decode a second time")
            # After a seek the decoder may not know yet, or know too early, what a later header says.
            frame.opaque = FrameTraits(pixel_aspect=self.video_track.picture_at(index).pixel_aspect)
            yield frame

    def _decode_from(self, frame_pts: int, back_s: float | None) -> tuple[Any, Iterator[Any]] | None:
        """Return the frame with timestamp `frame_pts` and the frames after it; None where the seek missed the frame.

        Decoding starts at a key frame at least `back_s` before the frame, or at the start of the file for None.
        """
        assert self._video is not None
        assert self.video_track is not None
        start = int(self.video_track.pts[0])
        if back_s is not None:
            target = frame_pts - int(back_s / float(self._video.time_base))
            try:
                self._container.seek(max(target, start), stream=self._video)
            except (av.error.FFmpegError, ValueError):
                return None
        else:
            self.close()  # some demuxers cannot rewind: only a new container starts at the first packet
            fresh = MediaFile(self._path, self._config, self._sound_path, self._range)
            self._container, self._video = fresh._container, fresh._video
        frames = self._decode_video([], [])
        for count, frame in enumerate(frames):
            if frame.pts is None or (count == 0 and frame.pts > frame_pts):
                return None
            if frame.pts == frame_pts and not (back_s is not None and frame.is_corrupt):
                return frame, frames
            if frame.pts > frame_pts:
                return None
        return None

    # -- audio ---------------------------------------------------------------------------------------------------

    def audio(self, frames: int | None) -> AudioTrack | None:
        """Return the sound on a timeline of `frames`; None: as long as the sound, in an input without video."""
        return read_audio(self._sound_path, self._config, self.start_s, frames, self._range)

    def embedded_audio_s(self) -> float | None:
        """Return the declared seconds of the video file's own sound track (0 if not declared); None without one."""
        streams = self._container.streams.audio
        if not streams:
            return None
        stream = streams[choose_audio_stream(streams, self._config.audio_languages).index]
        return float(stream.duration * stream.time_base) if stream.duration else 0.0

    def use_embedded_audio(self) -> None:
        """Read the sound from the video file, not from the separate sound file."""
        self._sound_path = self._path
