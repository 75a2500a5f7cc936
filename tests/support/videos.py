"""Small films whose brightness counts the frames, with a click at each full second."""

import io
from fractions import Fraction

import av
import numpy as np


def film(
    frames: int = 50,
    size: tuple[int, int] = (96, 64),
    *,
    rate: int = 25,
    codec: str = "libx264",
    container: str = "mp4",
    sound_from_s: float | None = 0.0,
    options: dict[str, str] | None = None,
    times: list[int] | None = None,
) -> bytes:
    """Frames whose brightness counts them, left half darker; a click at each full second."""
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height = size
        video.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
        sound = out.add_stream("pcm_s16le" if container in ("avi", "matroska") else "aac", rate=16_000, layout="mono")
        for n in range(frames):
            picture = np.full((size[1], size[0], 3), 40 + 4 * (n % 50), np.uint8)
            picture[:, : size[0] // 2] //= 2
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = (times[n] if times else n), Fraction(1, rate)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound_from_s is not None:
            samples = np.zeros(int(frames / rate * 16_000), np.float32)
            samples[::16_000] = 0.9
            for at in range(0, len(samples) - 1023, 1024):
                piece = samples[None, at : at + 1024]
                whole = (piece * 32767).astype(np.int16) if container in ("avi", "matroska") else piece
                one = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(whole), "s16" if whole.dtype == np.int16 else "fltp", "mono"
                )
                one.sample_rate, one.pts, one.time_base = 16_000, at + int(sound_from_s * 16_000), Fraction(1, 16_000)
                out.mux(sound.encode(one))
            out.mux(sound.encode(None))
    return sink.getvalue()
