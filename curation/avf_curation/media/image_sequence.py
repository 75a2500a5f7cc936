"""A folder of pictures as a film in memory: JPEG and PNG files' own bytes as packets at 25 fps, nothing encoded anew.

BMP, which no container takes, becomes PNG.
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.image_files import KINDS, list_images
from avf_curation.media.types import MediaError

_ALLOWED = {"format_whitelist": "jpeg_pipe,png_pipe,mjpeg"}  # a picture's name may hide a playlist


def image_sequence_video(folder: Path) -> Any:
    """The opened film. Raises MediaError for a folder without pictures, or with several kinds of them."""
    names = list_images(folder).names
    kinds = {KINDS[Path(name).suffix.lower()] for name in names}
    if not names:
        raise MediaError("not_media", "a folder without numbered pictures")
    if len(kinds) > 1:
        raise MediaError("not_media", f"a folder with {' and '.join(sorted(kinds))} pictures; one kind is a film")
    data = io.BytesIO()
    picture = io.BytesIO(_bytes(folder / names[0]))
    with av.open(data, "w", format="nut") as container, av.open(picture, options=_ALLOWED) as first:
        stream = container.add_stream_from_template(first.streams.video[0])
        tick_s = Fraction(1, FRAMES_PER_SECOND)
        for at, name in enumerate(names):
            packet = av.Packet(_bytes(folder / name))
            packet.stream, packet.time_base = stream, tick_s
            packet.pts = packet.dts = at
            packet.is_keyframe = True
            container.mux(packet)
    data.seek(0)
    return av.open(data, "r", format="nut")


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix.lower() != ".bmp":
        return data
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise MediaError("not_media", "a picture cannot be read")
    return bytes(cv2.imencode(".png", picture)[1])
