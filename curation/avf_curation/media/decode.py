"""Decodes an input with PyAV: once from start to end onto the 25 fps timeline, and later any span of it."""

import logging
import stat
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from avf_shards.system.storage_faults import retry_read
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.audio import read_audio
from avf_curation.media.audio_stream import choose_audio_stream
from avf_curation.media.container import is_cover_art, open_container
from avf_curation.media.file_clock import EDITED_FORMATS, FileClock, PacketClock, read_file_clock, seek_before
from avf_curation.media.frame_reader import FrameReader
from avf_curation.media.frame_times import MAX_EQUAL, repair_times
from avf_curation.media.input_file import InputFile
from avf_curation.media.mp4_boxes import walk_boxes
from avf_curation.media.picture_format import display_size
from avf_curation.media.presentation_times import MAX_REORDERED
from avf_curation.media.timeline_builder import TimelineBuilder, TimelineFrame
from avf_curation.media.tone_mapping import is_convertible
from avf_curation.media.types import (
    AudioTrack,
    MediaConfig,
    MediaError,
    TimeRange,
    VideoTrack,
)
from avf_curation.media.video_decoder import DecodedFrame, VideoDecoder, nominal_step, set_up_decoder

log = logging.getLogger(__name__)

_SEEK_BACK_S = (0.0, 5.0)  # how far before a range decoding starts, by attempt; then at the start of the file
_MAX_INDEX_BYTES, _MAX_INDEX_SHARE = 1 << 15, 0.1  # behind the packets of a file; more is perhaps another recording
_MIN_SIDE_PX = 16  # frames below one macroblock cannot show a face


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
        streams = [stream for stream in self._container.streams.video if not is_cover_art(stream)]
        self._video = streams[0] if streams else None
        if self._video is not None:
            try:
                set_up_decoder(self._video, config.max_pixels)
            except MediaError:
                self._container.close()
                raise
        self.video_track: VideoTrack | None = None
        self._reader: FrameReader | None = None  # made by the first later read
        self.start_s = 0.0  # time of frame 0 on the clock of the file

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
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the sequential pass ------------------------------------------------------------------------------------

    def frames(self) -> Iterator[TimelineFrame]:
        """Yield every decodable index of the timeline in order, then set `video_track`. Raises MediaError."""
        assert self._video is not None
        clock = self._read_clock()
        from_pts, to_pts = self._range_ticks(clock)
        builder, decoder, decoded_frames = self._start_decoder(clock, from_pts)
        video = self._video
        next_time: int | None = None
        for decoded in repair_times(decoded_frames, nominal_step(video)):
            time = decoded.time if decoded.time is not None else builder.next_time
            # Frames without a timestamp at the start of a stream that has some lie before time 0, as in Matroska files
            # that were cut between key frames: a player does not show them.
            if decoded.time is None and builder.first_time is None and video.start_time is not None:
                builder.hide(decoded)
                continue
            if from_pts is not None and time < from_pts:
                builder.pass_over(decoded, time)
                continue
            if builder.first_time is None:
                self._check_picture(decoded.frame)
                if from_pts is not None:
                    builder.begin_range(from_pts, time)
            if to_pts is not None and time >= to_pts:
                next_time = time
                break
            yield from builder.add(decoded, time, decoder)
        if from_pts is not None and builder.first_time is None:
            builder.begin_range(from_pts, None)
            if builder.first_time is None and self._range is not None:
                raise MediaError(
                    "range_outside", f"the file ends before {self._range.start_s:g} s, where the range begins"
                )
        range_frames = None if self._range is None else round(self._range.seconds * FRAMES_PER_SECOND)
        yield from builder.end(decoder, range_frames, next_time)
        assert builder.first_time is not None
        self.start_s = float(builder.first_time * video.time_base)
        declared = builder.declared_frames()
        track = builder.track(max(builder.placed, range_frames or declared), decoder)
        is_range_longer = range_frames is not None and max(builder.placed, declared) < range_frames
        unread = self._unread_bytes(decoder.read_bytes) if self._range is None else 0
        self.video_track = replace(track, is_range_longer=is_range_longer, unread_bytes=unread)
        self._log_oddities(self.video_track)

    def _read_clock(self) -> FileClock:
        return read_file_clock(self._path, self._container.format.name, self._config.audio_languages)

    def _start_decoder(
        self, clock: FileClock, from_pts: int | None
    ) -> tuple[TimelineBuilder, VideoDecoder, Iterator[DecodedFrame]]:
        """Return a decoder that stands at a key frame before the range, or at the start, with its frames.

        Some demuxers seek to a packet behind the timestamp that they were asked for: then decoding starts earlier.
        """
        for back_s in (*(_SEEK_BACK_S if from_pts is not None else ()), None):
            if back_s is None and from_pts is not None:
                self._container.close()
                self._container, self._video = self._reopen()
            elif back_s is not None and from_pts is not None:
                assert self._video is not None
                target = from_pts - round(back_s / float(self._video.time_base))
                if not seek_before(self._container, self._video, clock, target):
                    continue
            builder = TimelineBuilder(self._config, self._video, clock)
            # Of pictures with one time, which are spread, all must be read.
            margin = MAX_EQUAL * nominal_step(self._video) if clock.has_equal_times else 0
            decoder = VideoDecoder(self._container, self._video, PacketClock(clock), builder.note_failure)
            frames = decoder.frames(is_first_pass=True)
            first = next(frames, None)
            if back_s is None or from_pts is None:
                break
            if first is not None and first.is_key and first.time is not None and first.time <= from_pts - margin:
                break
        return builder, decoder, frames if first is None else chain((first,), frames)

    def _unread_bytes(self, read_bytes: int) -> int:
        """Return how much of the file is behind its last packet, where that is more than an index can be; else 0."""
        if not read_bytes:
            return 0
        status = retry_read(self._path.stat, self._path)
        if not stat.S_ISREG(status.st_mode):
            return 0
        size = status.st_size
        limit = max(_MAX_INDEX_BYTES, _MAX_INDEX_SHARE * size)
        if size - read_bytes <= limit:
            return 0
        unread = size - read_bytes - self._index_bytes(read_bytes)
        return unread if unread > limit else 0

    def _index_bytes(self, position: int) -> int:
        """Return the bytes of the index of an MP4 or QuickTime file that is behind a position."""
        if self._container.format.name not in EDITED_FORMATS:
            return 0
        file = InputFile(self._path)
        try:
            boxes = [box for box in walk_boxes(file, ()) if box.kind == b"moov" and box.start >= position]
            file.check()
        finally:
            file.close()
        return boxes[0].stop - boxes[0].start if boxes else 0

    def _log_oddities(self, track: VideoTrack) -> None:
        path = str(self._path)
        if track.damaged:
            frames = sum(span.frames for span in track.damaged)
            log.info("%r: %d frames are damaged, in %d stretches", path, frames, len(track.damaged))
        for run in track.pictures:
            if len(track.pictures) > 1 or run.pixel_aspect != 1 or run.colors:
                log.info("%r: an unusual picture: %s", path, run)
        if track.deinterlaced.any():
            kind = "telecined" if track.telecined else "interlaced"
            log.info("%r: %.1f %% of the frames are %s with motion", path, 100 * track.deinterlaced.mean(), kind)
        if track.gaps:
            log.info("%r: %d gaps between timestamps, first %s", path, len(track.gaps), track.gaps[0])
        if track.unread_bytes:
            log.warning("%r: the last %d bytes were not read; perhaps another recording", path, track.unread_bytes)
        if track.recordings > 1:
            log.info("%r: joined from %d recordings, at frames %s", path, track.recordings, track.joins[:5])

    def _range_ticks(self, clock: FileClock) -> tuple[int | None, int | None]:
        """Return the timestamps at which the range starts and ends."""
        if self._range is None or self._video is None:
            return None, None
        video = self._video
        start = clock.starts.get(video.index, self._first_time())
        from_pts = start + round(self._range.start_s / float(video.time_base))
        to_pts = start + round(self._range.stop_s / float(video.time_base))
        return from_pts, to_pts

    def _first_time(self) -> int:
        """Return when the first frame is presented, in ticks."""
        assert self._video is not None
        if self._container.format.name != "mpegvideo":
            return int(self._video.start_time or 0)
        container, video = self._reopen()  # FFmpeg declares 0, although the first frame waits for those it refers to
        with container:
            first = [packet.pts for packet in islice(container.demux(video), MAX_REORDERED) if packet.pts is not None]
        return min(first, default=0)

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

    # -- later reads ---------------------------------------------------------------------------------------------

    def read(self, span: Span) -> Iterator[Any]:
        """Yield the source frame of each index in `span`, bit-equal to the sequential pass. Raises MediaError."""
        assert self.video_track is not None
        if self._reader is None:
            self._reader = FrameReader(self._container, self._video, self._reopen, self.video_track, self._read_clock())
        yield from self._reader.read(span)

    def _reopen(self) -> tuple[Any, Any]:
        fresh = MediaFile(self._path, self._config, self._sound_path, self._range)
        return fresh._container, fresh._video

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
