"""Encodes a few seconds of video with sound as a small mp4 that any browser plays, for people who review verdicts."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.picture_file import decode_picture_file, fit_picture
from avf_curation.media.stored_clip import decode_stored_clip
from avf_curation.media.types import FULL_SCALE, Bytes, MediaConfig, MediaError, Samples, TimeRange

_AAC_FRAME = 1024  # samples that the AAC encoder takes at a time


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """Length and size of a preview."""

    max_s: float = 10.0  # seconds; what comes later is cut off
    side_px: int = 480  # longer side of the picture
    crf: int = 28  # of x264: more is smaller and worse
    sound_bits_per_s: int = 64_000


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A few seconds of video that a browser plays, and a still picture of them."""

    mp4: bytes  # H.264 and AAC; empty for a picture
    frames_THWC: list[Bytes]  # every frame before it was encoded, BGR

    @property
    def still(self) -> Bytes:
        """The frame in the middle."""
        return self.frames_THWC[len(self.frames_THWC) // 2]


def input_preview(
    path: Path, sound_path: Path | None, within: TimeRange, media_config: MediaConfig, config: PreviewConfig
) -> Preview:
    """Encode the start of a range of an input as a small mp4. Raises MediaError."""
    within = TimeRange(within.start_s, min(within.stop_s, within.start_s + config.max_s))
    converter = FrameConverter()
    with MediaFile(path, media_config, sound_path, within) as media:
        if not media.has_video:
            raise MediaError("no_picture", "the input has sound but no video")
        frames = [converter.long_side(shown.frame, config.side_px, "bgr24")[0] for shown in media.frames()]
        audio_track = media.audio(len(frames))
    frames = [_fit(frame_HWC, *frames[0].shape[:2]) for frame_HWC in frames]
    return _make_preview(frames, None if audio_track is None else audio_track.samples, config)


def clip_preview(members: dict[str, bytes], config: PreviewConfig) -> Preview:
    """Encode the start of a stored clip as a small mp4.

    Args:
        members: the clip's files by extension: `mp4` or `frames` (packed JPEG), and `flac`.

    Raises:
        MediaError: a file of the clip is missing or does not decode.
    """
    # Small at once: ten seconds of full frames would not fit.
    frames, samples = decode_stored_clip(
        members, int(config.max_s * FRAMES_PER_SECOND), lambda frame_HWC: _shrink(frame_HWC, config.side_px)
    )
    return _make_preview(frames, samples[: len(frames) * SAMPLES_PER_FRAME], config)


def picture_preview(data: bytes, max_pixels: int, config: PreviewConfig) -> Preview:
    """Return a face picture, shrunk, as a preview that does not play. Raises MediaError."""
    image_HWC, _ = fit_picture(decode_picture_file(data, max_pixels).image_HWC, config.side_px)
    return Preview(mp4=b"", frames_THWC=[image_HWC])


def _shrink(frame_HWC: Bytes, side_px: int) -> Bytes:
    height, width = frame_HWC.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return frame_HWC
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(frame_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)


def _fit(frame_HWC: Bytes, height: int, width: int) -> Bytes:
    """Return a frame of another size at this size, between black bars where its shape differs."""
    if frame_HWC.shape[:2] == (height, width):
        return frame_HWC
    scale = min(height / frame_HWC.shape[0], width / frame_HWC.shape[1])
    rows, columns = max(1, round(frame_HWC.shape[0] * scale)), max(1, round(frame_HWC.shape[1] * scale))
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    out[top : top + rows, left : left + columns] = cv2.resize(frame_HWC, (columns, rows), interpolation=cv2.INTER_AREA)
    return out


def _make_preview(frames: list[Bytes], samples: Samples | None, config: PreviewConfig) -> Preview:
    if not frames:
        raise MediaError("decode", "no frame of the span decodes")
    return Preview(mp4=_encode_preview(frames, samples, config), frames_THWC=frames)


def _encode_preview(frames_HWC: Iterable[Bytes], samples: Samples | None, config: PreviewConfig) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        quality = {"preset": "veryfast", "crf": str(config.crf)}
        video = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options=quality)
        video.pix_fmt, video.codec_context.thread_count = "yuv420p", 1
        audio = None if samples is None else out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        if audio is not None:
            audio.bit_rate = config.sound_bits_per_s
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
