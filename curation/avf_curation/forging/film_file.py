"""Writes frames and sound as one mp4 file: H.264 at 25 fps and AAC at 16 kHz, the same bytes each time."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.media.types import Bytes

Shot = tuple[Iterator[Bytes], np.ndarray]  # frames (H, W, 3) BGR, and 16 kHz samples from -1 to 1
_AAC_FRAME = 1024
_BOX_HEAD_BYTES = 8


def encode_film(frames_THWC: Bytes, samples_S: np.ndarray | None, comment: str) -> bytes:
    """Return the bytes of an mp4 of these frames and samples (None: no sound), with a comment in its metadata."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        container.metadata["comment"] = comment
        sound = np.zeros(0) if samples_S is None else samples_S
        height, width = frames_THWC.shape[1:3]
        mux_film(container, [(iter(frames_THWC), sound)], samples_S is not None, (width, height))
    return sink.getvalue()


def pad_film(data: bytes, size_bytes: int) -> bytes:
    """Return the bytes of an mp4, whose index is its last box, as a file of this size, eight bytes larger or more.

    The index gets a box `free`, which players leave out.
    """
    position = 0
    while data[position + 4 : position + 8] != b"moov":
        position += int.from_bytes(data[position : position + 4], "big")
    length, more = int.from_bytes(data[position : position + 4], "big"), size_bytes - len(data)
    if position + length != len(data) or more < _BOX_HEAD_BYTES:
        raise ValueError(f"an mp4 of {len(data)} bytes cannot be padded to {size_bytes}")
    free = more.to_bytes(4, "big") + b"free" + bytes(more - _BOX_HEAD_BYTES)
    return data[:position] + (length + more).to_bytes(4, "big") + data[position + 4 :] + free


def mux_film(container: Any, shots: Sequence[Shot], sound: bool, size: tuple[int, int]) -> None:
    """Encode frames and audio into an open mp4, interleaved, so that a truncated file loses both from one time on.

    Args:
        sound: whether the file gets an audio track.
        size: width and height of the frames, even numbers.
    """
    video = container.add_stream(
        "libx264",
        rate=FRAMES_PER_SECOND,
        options={"preset": "veryfast", "crf": "20", "x264-params": "threads=1:cpu-independent=1:keyint=25"},
    )
    video.width, video.height, video.pix_fmt = *size, "yuv420p"
    audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono") if sound else None
    samples = np.concatenate([audio for _, audio in shots]).astype(np.float32)[None]
    frame_count = sample_count = 0
    for images, _ in shots:
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = frame_count, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(frame))
            frame_count += 1
            while audio is not None and sample_count + _AAC_FRAME <= frame_count * SAMPLES_PER_FRAME:
                container.mux(
                    audio.encode(_audio_frame(samples[:, sample_count : sample_count + _AAC_FRAME], sample_count))
                )
                sample_count += _AAC_FRAME
    container.mux(video.encode(None))
    if audio is not None:
        if sample_count < samples.shape[1]:
            container.mux(audio.encode(_audio_frame(samples[:, sample_count:], sample_count)))
        container.mux(audio.encode(None))


def _audio_frame(samples: np.ndarray, first_sample: int) -> "av.AudioFrame":
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, first_sample, Fraction(1, SAMPLE_RATE_HZ)
    return frame
