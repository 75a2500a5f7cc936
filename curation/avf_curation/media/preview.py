"""Encodes a few seconds of video with sound as a small mp4 that any browser plays, for people who review verdicts."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import soundfile
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.media.decode import FrameConverter, MediaFile
from avf_curation.media.encode import decode_packed_jpeg
from avf_curation.media.types import FULL_SCALE, Bytes, MediaConfig, MediaError, Samples, TimeRange

MAX_PREVIEW_S = 10.0
_SIDE_PX = 480  # longer side of the preview
_AAC_FRAME = 1024  # samples that the AAC encoder takes at a time


def input_preview(path: Path, sound_path: Path | None, within: TimeRange, config: MediaConfig) -> bytes:
    """Encode the first MAX_PREVIEW_S seconds of a range of an input as a small mp4. Raises MediaError."""
    within = TimeRange(within.start_s, min(within.stop_s, within.start_s + MAX_PREVIEW_S))
    converter = FrameConverter()
    with MediaFile(path, config, sound_path, within) as media:
        if not media.has_video:
            raise MediaError("no_picture", "the input has sound but no video")
        frames = [converter.long_side(shown.frame, _SIDE_PX, "bgr24")[0] for shown in media.frames()]
        audio_track = media.audio(len(frames))
    return _encode_preview(frames, None if audio_track is None else audio_track.samples)


def clip_preview(members: dict[str, bytes]) -> bytes:
    """Encode the first MAX_PREVIEW_S seconds of a stored clip as a small mp4.

    Args:
        members: the clip's files by extension: `mp4` or `frames` (packed JPEG), and `flac`.
    """
    samples, _ = soundfile.read(io.BytesIO(members["flac"]), dtype="int16")
    decoder = decode_packed_jpeg(members["frames"]) if "frames" in members else _decode_mp4(members["mp4"])
    frames = list(islice(decoder, int(MAX_PREVIEW_S * FRAMES_PER_SECOND)))
    return _encode_preview(frames, samples[: len(frames) * SAMPLES_PER_FRAME])


def _decode_mp4(mp4: bytes) -> Iterator[Bytes]:
    with av.open(io.BytesIO(mp4), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _encode_preview(frames_HWC: Iterable[Bytes], samples: Samples | None) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        video = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "veryfast", "crf": "28"})
        video.pix_fmt, video.codec_context.thread_count = "yuv420p", 1
        audio = None if samples is None else out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for index, frame_HWC in enumerate(frames_HWC):
            even = frame_HWC[: frame_HWC.shape[0] // 2 * 2, : frame_HWC.shape[1] // 2 * 2]  # yuv420p halves the chroma
            if index == 0:
                video.height, video.width = even.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None and samples is not None:
            padded = np.concatenate([samples, np.zeros(-len(samples) % _AAC_FRAME, np.int16)])
            signal = padded.astype(np.float32) / FULL_SCALE
            for start in range(0, len(signal), _AAC_FRAME):
                block = av.AudioFrame.from_ndarray(signal[None, start : start + _AAC_FRAME], "fltp", "mono")
                block.sample_rate, block.pts = SAMPLE_RATE_HZ, start
                block.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return sink.getvalue()
