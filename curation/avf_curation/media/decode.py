"""PyAV (LibAV): one sequential decode onto the 25 fps timeline, and later reads of any span of it."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.audio import read_audio
from avf_curation.media.container import open_container
from avf_curation.media.types import (
    AudioTrack,
    Bytes,
    MediaConfig,
    MediaError,
    TimeRange,
    VideoTrack,
    nearest_indices,
    round_to_frames,
)

_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art is not video


@dataclass(kw_only=True)
class TimelineFrame:
    """One index of the timeline and the source frame shown there; `repeated`: the same frame as at the index before."""

    index: int
    frame: Any
    repeated: bool


class MediaFile:
    """One opened input. `frames()` must be run to its end once; then `video_track` is known and `read()` works.

    within: the part of the file that is the input; its frame 0 is the first frame in it.
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
            self._video.thread_count = 1
            self._video.codec_context.options = {"max_pixels": str(config.max_pixels)}
        self.video_track: VideoTrack | None = None
        self.start_s = 0.0
        self._size = (0, 0)

    def resume(self, picture: VideoTrack, start_s: float) -> None:
        """Take what the sequential pass found, in another process perhaps: `read` and `sound` work at once."""
        self.video_track, self.start_s = picture, start_s
        self._size = (picture.width_px, picture.height_px)

    @property
    def has_video(self) -> bool:
        return self._video is not None

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the sequential pass ------------------------------------------------------------------------------------

    def frames(self) -> Iterator[TimelineFrame]:
        """Every decodable index of the timeline in order. Raises MediaError; afterwards `video_track` is set."""
        video = self._video
        assert video is not None
        number, denominator = video.time_base.numerator, video.time_base.denominator
        fallback = round(denominator / number / float(video.average_rate or FRAMES_PER_SECOND)) or 1
        limit = int(self._config.max_duration_s * denominator / number)
        pts: list[int] = []
        gaps: list[Span] = []
        errors: list[int] = []
        first = previous = -1
        before: Any = None
        step = fallback

        def emit(frame: Any, at: int, indices: range) -> Iterator[TimelineFrame]:
            for i, index in enumerate(indices):
                pts.append(at)
                yield TimelineFrame(index=index, frame=frame, repeated=i > 0)

        from_pts, to_pts = self._seek_range()
        for frame in self._decoded(errors, pts):
            if from_pts is not None and (frame.pts is None or frame.pts < from_pts):
                errors.clear()  # of what lies before the range
                continue
            if to_pts is not None and frame.pts is not None and frame.pts >= to_pts:
                break
            if before is None:
                at = frame.pts if frame.pts is not None else 0
                first, previous, before = at, at, frame
                self.start_s = float(at * video.time_base)
                self._check_size(frame)
                continue
            at = frame.pts if frame.pts is not None else previous + step
            if at <= previous:
                continue  # cannot be placed: the one before stands at or after it
            if at - first > limit:
                raise MediaError("absurd_timestamps", f"timestamps run past {self._config.max_duration_s:g} s")
            step = at - previous
            indices = nearest_indices(previous - first, at - first, len(pts), number, denominator)
            gaps += self._gap(previous - first, at - first, number / denominator)
            yield from emit(before, previous, indices)
            previous, before = at, frame
        if before is None:
            raise MediaError("no_frames", "the video stream has no frame that can be decoded")
        last = before.duration or min(step, 10 * fallback)
        total = max(round_to_frames(previous - first + last, number, denominator), len(pts), 1)
        declared = round_to_frames(video.duration, number, denominator) if video.duration else 0
        if self._range is not None:
            declared = round(self._range.seconds * FRAMES_PER_SECOND)
            total = max(min(total, declared), len(pts))
        yield from emit(before, previous, range(len(pts), total))
        if declared > self._config.max_duration_s * FRAMES_PER_SECOND:
            declared = 0
        self.video_track = VideoTrack(
            frames=max(total, declared),
            pts=np.asarray(pts, np.int64),
            gaps=tuple(gaps),
            errors=tuple(errors),
            width_px=self._size[0],
            height_px=self._size[1],
        )

    def _seek_range(self) -> tuple[int | None, int | None]:
        """First and end timestamp of the range, the container standing before it. Raises MediaError."""
        if self._range is None or self._video is None:
            return None, None
        video = self._video
        start = video.start_time or 0
        from_pts = start + round(self._range.start_s / float(video.time_base))
        to_pts = start + round(self._range.stop_s / float(video.time_base))
        if video.duration and from_pts >= start + video.duration:
            raise MediaError("range_outside", f"the file ends before {self._range.start_s:g} s, where the range begins")
        with suppress(av.error.FFmpegError, ValueError):  # decoded from the start instead
            self._container.seek(max(from_pts, start), stream=video)
        return from_pts, to_pts

    def _decoded(self, errors: list[int], pts: list[int]) -> Iterator[Any]:
        """Decoded frames; packets that cannot be decoded are noted in `errors` by the index they would have had."""
        packets = self._container.demux(self._video)
        while True:
            try:
                packet = next(packets)
                decoded = packet.decode()
            except (StopIteration, EOFError):
                return
            except av.error.FFmpegError:
                if len(errors) > 10_000:
                    return
                errors.append(len(pts))
                continue
            for frame in decoded:
                if frame.is_corrupt and pts:
                    errors.append(len(pts))
                yield frame

    def _check_size(self, frame: Any) -> None:
        width, height = frame.width, frame.height
        if width < 16 or height < 16 or width * height > self._config.max_pixels:
            raise MediaError("picture_size", f"pictures of {width}x{height} are outside what can be used")
        self._size = (height, width) if frame.rotation % 180 else (width, height)

    def _gap(self, earlier: int, later: int, tick_s: float) -> list[Span]:
        if (later - earlier) * tick_s <= self._config.max_gap_s:
            return []
        half = self._config.max_gap_s / 2
        start = int((earlier * tick_s + half) * FRAMES_PER_SECOND) + 1
        stop = int((later * tick_s - half) * FRAMES_PER_SECOND)
        return [Span(start, stop)] if stop > start else []

    # -- later reads ---------------------------------------------------------------------------------------------

    def read(self, span: Span) -> Iterator[Any]:
        """The source frame of each index in `span`, bit-equal to the sequential pass. Raises MediaError."""
        assert self.video_track is not None
        wanted = self.video_track.pts[span.start_frame : span.stop_frame]
        if len(wanted) != span.frames:
            raise MediaError("decode", f"frames [{span.start_frame}, {span.stop_frame}) reach past what decodes")
        for back_s in (0.0, 4.0, None):
            found = self._from(int(wanted[0]), back_s)
            if found is not None:
                break
        else:
            raise MediaError("decode", f"frame {span.start_frame} does not decode a second time")
        frame, rest = found
        for at in wanted:
            while frame.pts is not None and frame.pts < at:
                frame = next(rest, None)
                if frame is None:
                    raise MediaError("decode", "the span does not decode a second time")
            yield frame

    def _from(self, at: int, back_s: float | None) -> tuple[Any, Iterator[Any]] | None:
        """The frame with timestamp `at` and the decoder after it, from a key frame at least `back_s` before it."""
        assert self._video is not None
        assert self.video_track is not None
        start = int(self.video_track.pts[0])
        if back_s is not None:
            target = at - int(back_s / float(self._video.time_base))
            try:
                self._container.seek(max(target, start), stream=self._video)
            except (av.error.FFmpegError, ValueError):
                return None
        else:
            self.close()
            fresh = MediaFile(self._path, self._config, self._sound_path, self._range)
            self._container, self._video = fresh._container, fresh._video
        frames = self._decoded([], [])
        for count, frame in enumerate(frames):
            if frame.pts is None or (count == 0 and frame.pts > at):
                return None
            if frame.pts == at and not (back_s is not None and frame.is_corrupt):
                return frame, frames
            if frame.pts > at:
                return None
        return None

    # -- sound ---------------------------------------------------------------------------------------------------

    def audio(self, frames: int | None) -> AudioTrack | None:
        """The sound on a timeline of `frames` (None: the sound's own length, in an input without pictures)."""
        return read_audio(self._sound_path, self._config, self.start_s, frames, self._range)

    def embedded_audio_s(self) -> float | None:
        """The declared length of the file's own first audio stream; None without one."""
        streams = self._container.streams.audio
        if not streams:
            return None
        length = streams[0].duration
        return float(length * streams[0].time_base) if length else 0.0

    def use_embedded_audio(self) -> None:
        """Read the sound from the file itself, not from the second one."""
        self._sound_path = self._path


class FrameConverter:
    """Frames to arrays through swscale: upright, with the colour matrix the frame is tagged with."""

    def __init__(self) -> None:
        self._reformatters: dict[tuple[int, int, str], VideoReformatter] = {}

    def array(self, frame: Any, width: int, height: int, pixels: str, fast: bool = True) -> Bytes:
        """`frame` as (height, width[, 3]) uint8, `pixels` = "bgr24" or "gray"; sizes are of the upright picture."""
        turn = frame.rotation % 360
        if turn % 180:
            width, height = height, width
        reformatter = self._reformatters.setdefault((width, height, pixels), VideoReformatter())
        same = (width, height) == (frame.width, frame.height)
        out = reformatter.reformat(
            frame,
            width,
            height,
            pixels,
            src_colorspace=_matrix(frame),
            dst_colorspace=Colorspace.ITU601,
            interpolation=Interpolation.FAST_BILINEAR if fast and not same else Interpolation.AREA,
            threads=1,
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(out, turn // 90) if turn else out, np.uint8)

    def long_side(self, frame: Any, side_px: int, pixels: str) -> tuple[Bytes, float]:
        """`frame` shrunk so that its longer side is at most `side_px`, and the scale (array px / source px)."""
        width, height = display_size(frame)
        scale = min(1.0, side_px / max(width, height))
        size = (max(8, round(width * scale)), max(8, round(height * scale)))  # the cut detectors want a few rows
        return self.array(frame, *size, pixels), scale


def display_size(frame: Any) -> tuple[int, int]:
    """(width, height) of the picture as a viewer shows it."""
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


def _matrix(frame: Any) -> Colorspace:
    """AVColorSpace of the frame; untagged pictures from 720 lines on are taken as BT.709, smaller ones as BT.601."""
    tag = int(frame.colorspace)
    if tag == 1 or (tag == 2 and min(frame.width, frame.height) >= 720):
        return Colorspace.ITU709
    return Colorspace.BT2020 if tag in (9, 10) else Colorspace.ITU601


def frame_at(path: Path, second: float, config: MediaConfig) -> Any | None:
    """The frame shown `second` after the first one, for a page; None where that cannot be decoded."""
    try:
        with MediaFile(path, config) as media:
            video = media._video
            if video is None:
                return None
            tick_s = float(video.time_base)
            start = next(iter(media._decoded([], [])), None)
            if start is None or start.pts is None:
                return start
            wanted = start.pts + second / tick_s
            if second > 4.0:
                media._container.seek(int(wanted), stream=video)
            best = start
            for frame in media._decoded([], []):
                if frame.pts is None or frame.pts > wanted:
                    break
                best = frame
            return best
    except (MediaError, av.error.FFmpegError, OSError):
        return None


def clip_frame(mp4: bytes, index: int) -> Any | None:
    """Frame `index` of a stored clip."""
    with av.open(io.BytesIO(mp4), "r") as container:
        return next((frame for number, frame in enumerate(container.decode(video=0)) if number == index), None)
