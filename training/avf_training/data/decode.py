"""Stored clips to planes and sound (PyAV, soundfile), without a copy more than needed.

Shapes: T frames, H W picture, R = 3H / 2 rows of a yuv420p picture (luma, then both chroma planes), S samples.
"""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import soundfile
from avf_shards.errors import FaultError
from avf_shards.schema.packed_jpeg import image_offsets
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_training.data.windows import on_stride

Planes = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]
_LIMITED, _FULL = "yuv420p", "yuvj420p"  # H.264 as stored; JPEG

av.logging.set_level(None)


def planes(mp4: bytes, wanted: Sequence[int], into: Planes | None = None) -> Planes:
    """The frames `wanted` (rising, repeats allowed) as yuv420p planes, (T, R, W). Raises FaultError.

    into: an array to fill and return, where it has that shape.

    Indices that are all multiples of 4 are read from the stride-aligned GOP: only reference frames are decoded, from
    the key frame before the first one on. Any other set takes the full decode. Both give the same bytes.
    """
    try:
        found = _decoded(mp4, wanted, True) if on_stride(wanted) else {}
        if len(found) < len(set(wanted)):  # another GOP: reference frames are not where the stride wants them
            found = _decoded(mp4, wanted, False)
    except (av.error.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise FaultError(f"the video does not decode ({error})") from None
    return _stacked(found, wanted, into)


def _decoded(mp4: bytes, wanted: Sequence[int], only_references: bool) -> dict[int, av.VideoFrame]:
    """Wanted frames by index."""
    with av.open(io.BytesIO(mp4), "r", format="mp4") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        tick_s = stream.time_base or Fraction(1)
        ticks, unit = 2 * FRAMES_PER_SECOND * tick_s.numerator, 2 * tick_s.denominator
        if only_references:
            stream.codec_context.skip_frame = "NONREF"
            if wanted[0]:
                container.seek(int(wanted[0] / FRAMES_PER_SECOND / tick_s), stream=stream)
        found: dict[int, av.VideoFrame] = {}
        kept, last = set(wanted), max(wanted)
        for frame in container.decode(stream):
            if frame.pts is None or frame.format.name != _LIMITED:
                raise ValueError(f"a frame is {frame.format.name} with timestamp {frame.pts}, not yuv420p with one")
            index = (frame.pts * ticks + tick_s.denominator) // unit  # nearest frame of 25 fps, in whole numbers
            if index in kept:
                found[index] = frame
            if index >= last:
                break
        return found


def jpeg_planes(packed: bytes, wanted: Sequence[int], into: Planes | None = None) -> Planes:
    """The frames `wanted` of a packed-JPEG member as full-range planes, as `planes`. Raises FaultError.

    packed: a container of avf_shards.schema.packed_jpeg.
    """
    offsets = image_offsets(packed)
    here = sorted(n for n in set(wanted) if 0 <= n < len(offsets) - 1)
    try:
        pictures = _jpegs(packed[offsets[n] : offsets[n + 1]] for n in here)
    except (av.error.FFmpegError, ValueError) as error:
        raise FaultError(f"the video does not decode ({error})") from None
    if len(pictures) != len(here):
        raise FaultError(f"the video has {len(here) - len(pictures)} pictures that do not decode")
    return _stacked(dict(zip(here, pictures, strict=True)), wanted, into)


def _jpegs(pictures: Iterable[bytes]) -> list[av.VideoFrame]:
    codec = av.CodecContext.create("mjpeg", "r")
    codec.thread_count = 1
    found = [frame for data in pictures for frame in codec.decode(av.Packet(data))]
    found += codec.decode(None)
    for frame in found:
        if frame.format.name != _FULL:
            raise ValueError(f"a picture is {frame.format.name}, not {_FULL}")
    return found


def _stacked(found: dict[int, av.VideoFrame], wanted: Sequence[int], into: Planes | None) -> Planes:
    """(T, R, W), each plane copied once, to where it stays. Raises FaultError for frames that were not found."""
    missing = sorted(set(wanted) - found.keys())
    if missing:
        raise FaultError(f"the video has no frames {missing[:4]}")
    width, height = found[wanted[0]].width, found[wanted[0]].height
    shape = len(wanted), height * 3 // 2, width
    made = into if into is not None and into.shape == shape else np.empty(shape, np.uint8)
    for row, n in zip(made, wanted, strict=True):
        if (found[n].width, found[n].height) != (width, height) or width % 2 or height % 4:
            raise FaultError(f"frame {n} is {found[n].width} x {found[n].height}, frame {wanted[0]} {width} x {height}")
        luma, u, v = found[n].planes
        row[:height] = _rows(luma, width)
        chroma = row[height:].reshape(2, height // 2, width // 2)
        chroma[0], chroma[1] = _rows(u, width // 2), _rows(v, width // 2)
    return made


def _rows(plane: "av.video.plane.VideoPlane", width: int) -> Planes:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]


class StoredSound:
    """A clip's FLAC, opened once. frames: of 25 fps, told by its 640 samples a frame exactly. Raises FaultError.

    Stored sound is already moved into sync: `av_offset_ms` in the record tells by how much and is never applied again.
    """

    def __init__(self, flac: bytes) -> None:
        try:
            self._file = soundfile.SoundFile(io.BytesIO(flac))
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise FaultError(f"the sound does not decode ({error})") from None
        if self._file.samplerate != SAMPLE_RATE_HZ or self._file.channels != 1:
            raise FaultError(f"the sound has {self._file.samplerate} Hz and {self._file.channels} channels")
        self.frames = int(self._file.frames) // SAMPLES_PER_FRAME

    def cut(self, start: int, frames: int) -> Samples:
        """Sound of `frames` frames from frame `start` on, (S,); less where the clip ends. Raises FaultError."""
        try:
            self._file.seek(min(start * SAMPLES_PER_FRAME, self._file.frames))
            samples: Samples = self._file.read(frames * SAMPLES_PER_FRAME, dtype="int16")
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise FaultError(f"the sound does not decode ({error})") from None
        return samples
