"""A stretch of video with its sound as a small mp4 that any browser plays, for people who review verdicts."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

from avf_curation.media.decode import FrameConverter, MediaFile
from avf_curation.media.encode import decode_packed_jpeg
from avf_curation.media.types import Bytes, MediaConfig, MediaError, Samples, TimeRange

MAX_PREVIEW_S = 10.0
_SIDE_PX = 480
_AAC_FRAME = 1024


def input_preview(path: Path, sound_path: Path | None, within: TimeRange, config: MediaConfig) -> bytes:
    """At most MAX_PREVIEW_S of a range of an input, shrunk. Raises MediaError."""
    within = TimeRange(within.start_s, min(within.stop_s, within.start_s + MAX_PREVIEW_S))
    convert = FrameConverter()
    with MediaFile(path, config, sound_path, within) as media:
        if not media.has_video:
            raise MediaError("no_picture", "sound without a picture")
        pictures = [convert.long_side(at.frame, _SIDE_PX, "bgr24")[0] for at in media.frames()]
        sound = media.audio(len(pictures))
    return _mp4(pictures, None if sound is None else sound.samples)


def clip_preview(members: dict[str, bytes]) -> bytes:
    """At most MAX_PREVIEW_S of a stored clip (mp4 or packed JPEG, and flac)."""
    samples, _ = soundfile.read(io.BytesIO(members["flac"]), dtype="int16")
    pictures = decode_packed_jpeg(members["frames"]) if "frames" in members else _decoded(members["mp4"])
    kept = [picture for _, picture in zip(range(int(MAX_PREVIEW_S * FRAMES_PER_SECOND)), pictures, strict=False)]
    return _mp4(kept, samples[: len(kept) * SAMPLE_RATE_HZ // FRAMES_PER_SECOND])


def _decoded(mp4: bytes) -> Iterator[Bytes]:
    with av.open(io.BytesIO(mp4), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _mp4(pictures: Iterable[Bytes], samples: Samples | None) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        video = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "veryfast", "crf": "28"})
        video.pix_fmt, video.codec_context.thread_count = "yuv420p", 1
        audio = None if samples is None else out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for number, picture in enumerate(pictures):
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            if number == 0:
                video.height, video.width = even.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None and samples is not None:
            loud = np.concatenate([samples, np.zeros(-len(samples) % _AAC_FRAME, np.int16)]).astype(np.float32) / 32768
            for at in range(0, len(loud), _AAC_FRAME):
                piece = av.AudioFrame.from_ndarray(loud[None, at : at + _AAC_FRAME], "fltp", "mono")
                piece.sample_rate, piece.pts = SAMPLE_RATE_HZ, at
                piece.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(audio.encode(piece))
            out.mux(audio.encode(None))
    return sink.getvalue()
