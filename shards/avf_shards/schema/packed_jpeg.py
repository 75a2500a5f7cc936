"""The packed-JPEG container: the member `KEY.frames` of a clip whose video is stored as one JPEG for each frame.

bytes 0-3     "AVFJ"
bytes 4-7     N, number of images (little-endian uint32, as all numbers here)
from byte 8   N + 1 offsets from the start of the container: of each image, and the size of the container
after them    the images, one behind the other
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avf_shards.errors import FaultError

MAGIC = b"AVFJ"
_HEAD_BYTES, _NUMBER_BYTES = 8, 4


def pack_images(images: Sequence[bytes]) -> bytes:
    """Return a container of these encoded images."""
    first = _HEAD_BYTES + _NUMBER_BYTES * (len(images) + 1)
    offsets = np.cumsum([0, *map(len, images)]) + first
    return MAGIC + np.uint32(len(images)).tobytes() + offsets.astype("<u4").tobytes() + b"".join(images)


def image_offsets(packed: bytes) -> npt.NDArray[np.int64]:
    """Return the offsets of a container, (N + 1,): image n lies at [offsets[n], offsets[n + 1]).

    Raises FaultError if the bytes are not a complete container.
    """
    if packed[: len(MAGIC)] != MAGIC or len(packed) < _HEAD_BYTES:
        raise FaultError("the video is no packed JPEG")
    count = int.from_bytes(packed[len(MAGIC) : _HEAD_BYTES], "little")
    first = _HEAD_BYTES + _NUMBER_BYTES * (count + 1)
    if len(packed) < first:
        raise FaultError(f"the video ends before its table of {count} pictures")
    offsets = np.frombuffer(packed, "<u4", count + 1, _HEAD_BYTES).astype(np.int64)
    if offsets[0] != first or offsets[-1] != len(packed) or (np.diff(offsets) <= 0).any():
        raise FaultError("the video's table of pictures is damaged")
    return offsets
