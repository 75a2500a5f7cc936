"""Encodes clips: H.264 in mp4 through PyAV with a stride-aligned GOP, or packed JPEG, and FLAC through libsndfile.

Every fourth frame is a reference frame (I BBB P BBB P ...), so a reader with a stride of 4 skips the rest. One thread
and cpu-independent=1 make the bytes the same on every machine of a CPU family.
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
import soundfile
from av.video.reformatter import Colorspace
from avf_shards.errors import FaultError
from avf_shards.schema.packed_jpeg import image_offsets, pack_images
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

from avf_curation.media.clip_config import ClipConfig
from avf_curation.media.types import Bytes, Samples

# No scene cuts, no adaptive B frames, no B pyramid: x264 would otherwise choose reference frames by content.
STRIDE_ALIGNED = "keyint=32:min-keyint=32:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none:open-gop=0"
MAX_STORED_PIXELS = 4096 * 4096  # of a stored frame, many times the largest crop
DETERMINISTIC = "threads=1:sliced-threads=0:cpu-independent=1"


def encode_mp4(frames_HWC: Iterable[Bytes], config: ClipConfig) -> bytes:
    """Encode square BGR frames at 25 fps as an mp4: yuv420p, constant frame rate, no edit list, bit-exact muxing."""
    sink = io.BytesIO()
    # With an edit list the first timestamp would depend on the B frames, and some readers ignore the list. Bit-exact
    # muxing leaves out the encoder's version and the time of day.
    muxing = {"fflags": "+bitexact", "movflags": "negative_cts_offsets", "use_editlist": "0"}
    with av.open(sink, "w", format="mp4", options=muxing) as container:
        options = {"preset": config.preset, "crf": str(config.crf), "x264-params": f"{STRIDE_ALIGNED}:{DETERMINISTIC}"}
        if config.fastdecode:
            options["tune"] = "fastdecode"
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.width = stream.height = config.size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for index, frame_HWC in enumerate(frames_HWC):
            frame = av.VideoFrame.from_ndarray(frame_HWC, format="bgr24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU601, threads=1
            )
            frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def encode_packed_jpeg(frames_HWC: Iterable[Bytes], config: ClipConfig) -> bytes:
    """Encode each BGR frame as JPEG; return them as one container (avf_shards.schema.packed_jpeg)."""
    images = []
    for frame_HWC in frames_HWC:
        success, data = cv2.imencode(".jpg", frame_HWC, [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])
        if not success:
            raise RuntimeError("a frame could not be encoded as JPEG")
        images.append(data.tobytes())
    return pack_images(images)


def decode_packed_jpeg(data: bytes) -> Iterator[Bytes]:
    """Yield the frames of `encode_packed_jpeg`, (H, W, 3) BGR.

    Raises FaultError for another format, and for a frame of more than `MAX_STORED_PIXELS`.
    """
    offsets = image_offsets(data)
    for number, (start, stop) in enumerate(pairwise(offsets)):
        yield decode_image("mjpeg", data[start:stop], MAX_STORED_PIXELS, f"picture {number}")


def decode_image(codec: str, data: bytes, max_pixels: int, name: str) -> Bytes:
    """Decode one image as that format and no other, (H, W, 3) BGR.

    Args:
        codec: FFmpeg's name of the format, such as bmp or mjpeg.
        data: the image's file.
        max_pixels: what declares more is refused before memory is taken for it.
        name: of the image in messages.

    Raises:
        FaultError: the image does not decode, or is too large.
    """
    context: Any = av.CodecContext.create(codec, "r")
    context.thread_count, context.options = 1, {"max_pixels": str(max_pixels)}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise FaultError(f"{name} is no {codec} image of up to {max_pixels:,} pixels ({error})") from None
    if not frames:
        raise FaultError(f"{name} holds no picture")
    return np.asarray(frames[0].to_ndarray(format="bgr24"), np.uint8)


def encode_flac(samples: Samples) -> bytes:
    """Encode 16-bit samples as 16 kHz mono FLAC without loss."""
    sink = io.BytesIO()
    soundfile.write(sink, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return sink.getvalue()
