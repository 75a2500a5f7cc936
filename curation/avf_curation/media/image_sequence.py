"""Opens a folder of images as a video in memory: the files' own JPEG or PNG bytes as packets at 25 fps.

Nothing is encoded again, except that BMP, which no container takes, becomes PNG.
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
from avf_shards.errors import FaultError
from avf_shards.system.storage_faults import read_bytes
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.encode import decode_image
from avf_curation.media.image_files import IMAGE_CODECS, list_images
from avf_curation.media.types import MediaError

_MAX_PIXELS = 8192 * 8192  # of an image: what declares more is refused before memory is taken for it
_ALLOWED = {"format_whitelist": "jpeg_pipe,png_pipe,mjpeg"}  # a file named .jpg may hold a playlist


def image_sequence_video(folder: Path) -> Any:
    """Open the images of a folder as a video. Raises MediaError where there are none, or images of several kinds."""
    names = list_images(folder).names
    codecs = {IMAGE_CODECS[Path(name).suffix.lower()] for name in names}
    if not names:
        raise MediaError("not_media", "the folder holds no numbered images")
    if len(codecs) > 1:
        raise MediaError("not_media", f"the folder mixes {' and '.join(sorted(codecs))} images; keep one kind of file")
    data = io.BytesIO()
    first_image = io.BytesIO(_packet_bytes(folder / names[0]))
    limit: Any = [{"max_pixels": str(_MAX_PIXELS)}]  # of the decoder that looks at the first image
    with (
        av.open(data, "w", format="nut") as container,
        av.open(first_image, options=_ALLOWED, stream_options=limit) as first,
    ):
        stream = container.add_stream_from_template(first.streams.video[0])
        tick_s = Fraction(1, FRAMES_PER_SECOND)
        for index, name in enumerate(names):
            packet = av.Packet(_packet_bytes(folder / name))
            packet.stream, packet.time_base = stream, tick_s
            packet.pts = packet.dts = index
            packet.is_keyframe = True  # so that a seek finds every image
            container.mux(packet)
    data.seek(0)
    return av.open(data, "r", format="nut")


def _packet_bytes(path: Path) -> bytes:
    """Return an image file's bytes as a packet's payload. Raises MediaError for a damaged BMP."""
    data = read_bytes(path)
    if path.suffix.lower() != ".bmp":
        return data
    try:
        image = decode_image("bmp", data, _MAX_PIXELS, path.name)
    except FaultError as error:
        raise MediaError("not_media", f"the image {path.name} cannot be read ({error})") from None
    return bytes(cv2.imencode(".png", image)[1])
