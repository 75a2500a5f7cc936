"""Encoded pictures to pixels (PyAV). H height, W width."""

import av
import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError

_CODECS = {b"\xff\xd8": "mjpeg", b"\x89P": "png"}  # by the first bytes, whatever the name says
#: What declares more is refused before memory is taken for it. Curation stores what has up to `media.max_pixels`.
MAX_PIXELS = 8192 * 8192


def decode_rgb(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """Return a JPEG or PNG as RGB, (H, W, 3).

    Raises FaultError, which names the picture by `where`.
    """
    codec = _CODECS.get(data[:2])
    if codec is None:
        raise FaultError(f"{where}: is neither JPEG nor PNG")
    context = av.CodecContext.create(codec, "r")
    context.thread_count, context.options = 1, {"max_pixels": str(MAX_PIXELS)}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]  # type: ignore[attr-defined]  # typed for codecs of any kind
        if len(frames) != 1:
            raise FaultError(f"{where}: does not decode as one picture")
        return np.asarray(frames[0].to_ndarray(format="rgb24"))
    except (av.error.FFmpegError, ValueError) as error:
        raise FaultError(f"{where}: does not decode ({error})") from None
