"""Videos whose pictures show their own number as black and white bars, with reordered frames and any timestamps."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

BITS = 8
WIDTH, HEIGHT = 32 * BITS, 64
LONG_GROUPS = {"bf": "3", "b_strategy": "0", "g": "250", "preset": "veryfast"}
#: AVI has no times of presentation: FFmpeg writes those of decoding.


def numbered_picture(number: int) -> np.ndarray:
    """Return a grey picture (HEIGHT, WIDTH) whose bars are the bits of a number."""
    number %= 1 << BITS
    bars = [235 if number >> bit & 1 else 16 for bit in range(BITS)]
    return np.repeat(np.repeat(np.asarray(bars, np.uint8)[None], 32, axis=1), HEIGHT, axis=0)


def read_number(frame: Any) -> int:
    """Return the number that a decoded frame shows."""
    grey = frame.to_ndarray(format="gray")
    return sum(1 << bit for bit in range(BITS) if grey[HEIGHT // 2, bit * 32 + 16] > 120)


def make_numbered_video(
    times: Sequence[int],
    *,
    container: str,
    codec: str = "libx264",
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    beeps_s: Sequence[float] | None = None,
    first_number: int = 0,
    sound_s: float | None = None,
    container_options: dict[str, str] | None = None,
    sound_rate_hz: int = 48_000,
) -> bytes:
    """Return the bytes of a video.

    Args:
        times: of presentation of each picture, in ticks of 1/rate seconds; none for a file of sound.
        beeps_s: seconds at which a tone of 80 ms begins; None for no sound.
        first_number: that the first picture shows.
        sound_s: length of the sound; None: that of the pictures.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format=container, container_options=container_options or {}) as out:
        video = None
        if times:
            video = out.add_stream(codec, rate=rate, options=options or {})
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.codec_context.time_base = 1 / rate
        audio = None if beeps_s is None else out.add_stream("mp2", rate=sound_rate_hz, layout="mono")
        packets = []
        for number, time in enumerate(times, first_number):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, 1 / rate
            packets += video.encode(frame)
        if video is not None:
            packets += video.encode(None)
        if audio is not None:
            seconds = float((times[-1] + 1) / rate) if sound_s is None else sound_s
            packets += _encode_beeps(audio, beeps_s or (), seconds, sound_rate_hz)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return sink.getvalue()


def _encode_beeps(audio: Any, beeps_s: Sequence[float], seconds: float, rate_hz: int) -> list[Any]:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    loud = np.any([(time >= beep) & (time < beep + 0.08) for beep in beeps_s], axis=0)
    tone = (20_000 * np.sin(2 * np.pi * 1000 * time) * loud).astype(np.int16)
    packets = []
    for start in range(0, len(tone) - 1151, 1152):
        block = av.AudioFrame.from_ndarray(tone[None, start : start + 1152], "s16", "mono")
        block.sample_rate, block.pts, block.time_base = rate_hz, start, Fraction(1, rate_hz)
        packets += audio.encode(block)
    return packets + audio.encode(None)
