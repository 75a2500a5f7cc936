"""Decodes the frames and the sound of a clip that curation stored."""

import io
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import av
import numpy as np
import soundfile
from avf_shards.errors import FaultError
from avf_shards.timeline import SAMPLES_PER_FRAME

from avf_curation.media.decoder_memory import DecoderMemory
from avf_curation.media.encode import MAX_STORED_PIXELS, decode_packed_jpeg
from avf_curation.media.types import Bytes, MediaError, Samples

_FLAC_MAGIC = b"fLaC"


def decode_stored_clip(
    members: Mapping[str, bytes], max_frames: int, change: Callable[[Bytes], Bytes] = lambda frame_HWC: frame_HWC
) -> tuple[list[Bytes], Samples]:
    """Return the first frames of a clip, BGR, and the sound of as many.

    Args:
        members: the clip's files by extension: `mp4` or `frames` (packed JPEG), and `flac`.
        max_frames: that are decoded.
        change: what is done with each frame at once, so that full ones need not all be in memory.

    Raises:
        MediaError: a file of the clip is missing or does not decode.
    """
    try:
        if not members["flac"].startswith(_FLAC_MAGIC):  # libsndfile would take any format that it knows
            raise FaultError("its sound is no FLAC")
        # No more than is shown: a file of a hundred bytes can declare any number of samples.
        samples, _ = soundfile.read(io.BytesIO(members["flac"]), max_frames * SAMPLES_PER_FRAME, dtype="int16")
        decoder = decode_packed_jpeg(members["frames"]) if "frames" in members else _decode_mp4(members["mp4"])
        frames = [change(frame_HWC) for frame_HWC in islice(decoder, max_frames)]
    except KeyError as error:
        raise MediaError("missing", f"the stored clip has no member {error.args[0]}") from None
    except (av.error.FFmpegError, soundfile.LibsndfileError, FaultError) as error:
        raise MediaError("decode", f"the stored clip is no readable video ({error})") from None
    return frames, samples


def _decode_mp4(mp4: bytes) -> Iterator[Bytes]:
    memory = DecoderMemory(len(mp4))
    # No protocol: FFmpeg opens no file and no address that the MP4 names.
    with av.open(io.BytesIO(mp4), "r", format="mp4", options={"protocol_whitelist": "none"}) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_STORED_PIXELS)}
        memory.check(stream.codec_context)
        for frame in container.decode(stream):
            memory.check(stream.codec_context)
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
