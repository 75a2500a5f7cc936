"""Small video files: the brightness of a frame gives its number, and a click sounds at each full second."""

import io
from fractions import Fraction

import av
import numpy as np


def make_video(
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
    """Return the bytes of a video file whose frames are darker in the left half.

    times: presentation times of the frames, in frames; sound_from_s: start of the sound, None for no sound.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height = size
        video.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
        sound = out.add_stream("pcm_s16le" if container in ("avi", "matroska") else "aac", rate=16_000, layout="mono")
        for n in range(frames):
            image = np.full((size[1], size[0], 3), 40 + 4 * (n % 50), np.uint8)
            image[:, : size[0] // 2] //= 2
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = (times[n] if times else n), Fraction(1, rate)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound_from_s is not None:
            samples = np.zeros(int(frames / rate * 16_000), np.float32)
            samples[::16_000] = 0.9
            for start in range(0, len(samples) - 1023, 1024):
                chunk = samples[None, start : start + 1024]
                samples_1S = (chunk * 32767).astype(np.int16) if container in ("avi", "matroska") else chunk
                audio = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples_1S), "s16" if samples_1S.dtype == np.int16 else "fltp", "mono"
                )
                audio.sample_rate, audio.pts, audio.time_base = (
                    16_000,
                    start + int(sound_from_s * 16_000),
                    Fraction(1, 16_000),
                )
                out.mux(sound.encode(audio))
            out.mux(sound.encode(None))
    return sink.getvalue()
