"""Stored clips to planes and audio (PyAV, soundfile), each byte copied once.

Shapes: T frames, H W height and width, Q = 3H / 2 rows of a yuv420p frame (luma, then both chroma planes), S samples.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import soundfile
from avf_shards.errors import FaultError
from avf_shards.schema.packed_jpeg import image_offsets
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_training.data.media_faults import describe_media_fault
from avf_training.data.windows import on_stride

Planes = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]
FrameDecoder = Callable[[bytes, Sequence[int], bool], Mapping[int, av.VideoFrame]]
_NO_PROTOCOL = {"protocol_whitelist": "none"}  # FFmpeg opens no file and no address that a clip names
_MAX_PIXELS = 4096 * 4096  # of a stored frame: what declares more is refused before memory is taken for it
FLAC_MAGIC = b"fLaC"
MAX_CLIP_SAMPLES = 3600 * SAMPLE_RATE_HZ  # an hour, where clips have seconds
_MAX_SAMPLES_PER_BYTE = 65_536 // 8  # a FLAC frame has at most so many samples and at least so many bytes
_LIMITED, _FULL = "yuv420p", "yuvj420p"  # pixel formats: H.264 as stored; JPEG

av.logging.set_level(None)  # FFmpeg's warnings name no clip; what matters is raised as an error


def decode_frames(mp4: bytes, indices: Sequence[int], reference_only: bool) -> dict[int, av.VideoFrame]:
    """Decode the wanted frames and return them by index; frames that the decoder does not give are left out.

    reference_only: decode only reference frames, from the key frame before the first index on. In the stride-aligned
    GOP these are the frames at multiples of 4.
    """
    with av.open(io.BytesIO(mp4), "r", format="mp4", options=_NO_PROTOCOL) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
        stream.thread_count = 1  # workers are parallel already; threads of the codec would only compete with them
        tick_s = stream.time_base or Fraction(1)
        numerator, denominator = 2 * FRAMES_PER_SECOND * tick_s.numerator, 2 * tick_s.denominator
        if reference_only:
            stream.codec_context.skip_frame = "NONREF"
            if indices[0]:
                container.seek(int(indices[0] / FRAMES_PER_SECOND / tick_s), stream=stream)
        frames: dict[int, av.VideoFrame] = {}
        wanted, last = set(indices), max(indices)
        for frame in container.decode(stream):
            if frame.pts is None or frame.format.name != _LIMITED:
                raise ValueError(f"a frame is {frame.format.name} with timestamp {frame.pts}, not yuv420p with one")
            # The nearest frame of 25 fps, in integers: a float product of pts and tick may round to the neighbour.
            index = (frame.pts * numerator + tick_s.denominator) // denominator
            if index in wanted:
                frames[index] = frame
            if index >= last:
                break
        return frames


def decode_planes(
    mp4: bytes, indices: Sequence[int], into: Planes | None = None, decoder: FrameDecoder = decode_frames
) -> Planes:
    """Decode frames of an MP4 as yuv420p planes, (T, Q, W).

    Indices that are all multiples of 4 are read from the stride-aligned GOP, where only reference frames are decoded.
    Any other set of indices takes the full decode. Both give the same bytes.

    Args:
        mp4: the bytes of the file.
        indices: frames in rising order; repeats are allowed.
        into: an array to fill and return, used if it has the right shape.
        decoder: decodes frames by index.

    Raises:
        FaultError: the video does not decode, or lacks one of the frames.
    """
    try:
        frames = decoder(mp4, indices, True) if on_stride(indices) else {}
        if len(frames) < len(set(indices)):  # a foreign GOP has its reference frames at other indices
            frames = decoder(mp4, indices, False)
    except (av.error.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise FaultError(f"the video does not decode ({describe_media_fault(error)})") from None
    return _stack_planes(frames, indices, into)


def decode_jpeg_planes(packed: bytes, indices: Sequence[int], into: Planes | None = None) -> Planes:
    """Decode frames of a packed-JPEG file as full-range planes, (T, Q, W); arguments and errors as `decode_planes`.

    packed: a container of avf_shards.schema.packed_jpeg.
    """
    offsets = image_offsets(packed)
    present = sorted(n for n in set(indices) if 0 <= n < len(offsets) - 1)
    try:
        images = _decode_jpegs(packed[offsets[n] : offsets[n + 1]] for n in present)
    except (av.error.FFmpegError, ValueError) as error:
        raise FaultError(f"the video does not decode ({describe_media_fault(error)})") from None
    if len(images) != len(present):
        raise FaultError(f"the video has {len(present) - len(images)} images that do not decode")
    return _stack_planes(dict(zip(present, images, strict=True)), indices, into)


def _decode_jpegs(images: Iterable[bytes]) -> list[av.VideoFrame]:
    codec = av.CodecContext.create("mjpeg", "r")
    codec.thread_count, codec.options = 1, {"max_pixels": str(_MAX_PIXELS)}
    frames = [frame for data in images for frame in codec.decode(av.Packet(data))]
    frames += codec.decode(None)
    for frame in frames:
        if frame.format.name != _FULL:
            raise ValueError(f"an image is {frame.format.name}, not {_FULL}")
    return frames


def _stack_planes(frames: Mapping[int, av.VideoFrame], indices: Sequence[int], into: Planes | None) -> Planes:
    """Copy the planes of frames to (T, Q, W). Raises FaultError for frames that are missing or differ in size."""
    missing = sorted(set(indices) - frames.keys())
    if missing:
        raise FaultError(f"the video has no frames {missing[:4]}")
    width, height = frames[indices[0]].width, frames[indices[0]].height
    shape = len(indices), height * 3 // 2, width
    planes_TQW = into if into is not None and into.shape == shape else np.empty(shape, np.uint8)
    for row, n in zip(planes_TQW, indices, strict=True):
        # A chroma plane of (H / 2, W / 2) fills whole rows of width W only if W is even and H a multiple of 4.
        if (frames[n].width, frames[n].height) != (width, height) or width % 2 or height % 4:
            size = f"{frames[n].width} x {frames[n].height}"
            raise FaultError(f"frame {n} is {size}, frame {indices[0]} {width} x {height}")
        luma, u, v = frames[n].planes
        row[:height] = _plane_rows(luma, width)
        chroma = row[height:].reshape(2, height // 2, width // 2)
        chroma[0], chroma[1] = _plane_rows(u, width // 2), _plane_rows(v, width // 2)
    return planes_TQW


def _plane_rows(plane: "av.video.plane.VideoPlane", width: int) -> Planes:
    """Return a view of a plane without the padding at the end of its lines."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]


class StoredAudio:
    """A clip's FLAC, opened once. Stored audio has exactly 640 samples per frame, so its length gives the frame count.

    The audio is stored in sync: `av_offset_ms` of the record says by how much it was moved and is never applied again.
    """

    def __init__(self, flac: bytes) -> None:
        """Open the file. Raises FaultError for all but 16 kHz mono of a length that it can hold."""
        if not flac.startswith(FLAC_MAGIC):  # libsndfile would take any format that it knows
            raise FaultError("the audio is no FLAC")
        try:
            self._file = soundfile.SoundFile(io.BytesIO(flac))
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise FaultError(f"the audio does not decode ({error})") from None
        if self._file.samplerate != SAMPLE_RATE_HZ or self._file.channels != 1:
            raise FaultError(f"the audio has {self._file.samplerate} Hz and {self._file.channels} channels")
        if self._file.frames > min(MAX_CLIP_SAMPLES, _MAX_SAMPLES_PER_BYTE * len(flac)):
            raise FaultError(f"the audio declares {self._file.frames:,} samples in {len(flac):,} bytes")
        self.frames = int(self._file.frames) // SAMPLES_PER_FRAME  # video frames of 25 fps

    def read(self, start: int, frames: int) -> Samples:
        """Return the audio of `frames` video frames from frame `start` on, (S,); fewer samples where the clip ends.

        Raises FaultError when the audio does not decode.
        """
        try:
            self._file.seek(min(start * SAMPLES_PER_FRAME, self._file.frames))
            samples: Samples = self._file.read(frames * SAMPLES_PER_FRAME, dtype="int16")
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise FaultError(f"the audio does not decode ({error})") from None
        return samples
