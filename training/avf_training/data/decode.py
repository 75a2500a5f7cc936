"""Stored clips to planes and sound (PyAV, soundfile), without a copy more than needed.

Shapes: T frames, H W picture, R = 3H / 2 rows of a yuv420p picture (luma, then both chroma planes), S samples.
"""

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import soundfile
from avf_shards.errors import FaultError
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

STRIDE = 4  # frames between two that the models see: 16 of them span 2.56 s at 25 fps
Planes = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]

av.logging.set_level(None)


def window_frames(start: int, frames: int, total: int) -> list[int]:
    """Indices of `frames` frames at stride 4 from `start` on; past the end of the clip the last one is repeated.

    The last one is the last index on the stride, as the authors have it: a clip of 10 frames gives 0, 4, 8, 8, 8, ...
    """
    last = start + (total - 1 - start) // STRIDE * STRIDE
    return [min(start + STRIDE * n, last) for n in range(frames)]


def planes(mp4: bytes, wanted: Sequence[int]) -> Planes:
    """The frames `wanted` (rising, repeats allowed) as yuv420p planes, (T, R, W). Raises FaultError.

    Indices that are all multiples of 4 are read from the stride-aligned GOP: only reference frames are decoded, from
    the key frame before the first one on. Any other set takes the full decode. Both give the same bytes.
    """
    try:
        with av.open(io.BytesIO(mp4), "r", format="mp4") as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            found = _aligned(container, stream, wanted) if all(n % STRIDE == 0 for n in wanted) else {}
        if len(found) < len(set(wanted)):  # another GOP: reference frames are not where the stride wants them
            with av.open(io.BytesIO(mp4), "r", format="mp4") as container:
                stream = container.streams.video[0]
                stream.thread_count = 1
                found = _collected(container, stream, set(wanted))
    except (av.error.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise FaultError(f"the video does not decode ({error})") from None
    missing = sorted(set(wanted) - found.keys())
    if missing:
        raise FaultError(f"the video has no frames {missing[:4]}")
    return np.stack([found[n] for n in wanted])


def _aligned(
    container: "av.container.InputContainer", stream: "av.VideoStream", wanted: Sequence[int]
) -> dict[int, Planes]:
    """Wanted frames by index, decoding reference frames only."""
    stream.codec_context.skip_frame = "NONREF"
    if wanted[0]:
        container.seek(_ticks(stream, wanted[0]), stream=stream)
    return _collected(container, stream, set(wanted))


def _collected(
    container: "av.container.InputContainer", stream: "av.VideoStream", wanted: set[int]
) -> dict[int, Planes]:
    found: dict[int, Planes] = {}
    last, tick_s = max(wanted), stream.time_base or Fraction(0)
    for frame in container.decode(stream):
        if frame.pts is None or frame.format.name != "yuv420p":
            raise ValueError(f"a frame is {frame.format.name} with timestamp {frame.pts}, not yuv420p with one")
        index = round(frame.pts * tick_s * FRAMES_PER_SECOND)
        if index in wanted:
            found[index] = np.asarray(frame.to_ndarray(), np.uint8)
        if index >= last:
            break
    return found


def _ticks(stream: "av.VideoStream", index: int) -> int:
    return int(index / FRAMES_PER_SECOND / (stream.time_base or Fraction(1)))


def sound(flac: bytes, start: int, frames: int) -> Samples:
    """Sound of `frames` frames of 25 fps from frame `start` on, (S,); less where the clip ends. Raises FaultError.

    Stored sound is already moved into sync: `av_offset_ms` in the record tells by how much and is never applied again.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            if file.samplerate != SAMPLE_RATE_HZ or file.channels != 1:
                raise FaultError(f"the sound has {file.samplerate} Hz and {file.channels} channels")
            file.seek(min(start * SAMPLES_PER_FRAME, file.frames))
            samples: Samples = file.read(frames * SAMPLES_PER_FRAME, dtype="int16")
            return samples
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise FaultError(f"the sound does not decode ({error})") from None


def frame_count(flac: bytes) -> int:
    """Frames of a clip, told by its sound: 640 samples a frame, exactly. Raises FaultError."""
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            return int(file.frames) // SAMPLES_PER_FRAME
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise FaultError(f"the sound does not decode ({error})") from None
