"""Encoded pictures with real damage, which a decoder without further checks fills in with grey and calls a picture."""

import io
import random
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image


def encode_picture(form: str, *, mode: str = "RGB", side_px: int = 96, **options: object) -> bytes:
    """Return a picture of soft noise on a slope, by Pillow."""
    y, x = np.mgrid[:side_px, :side_px]
    noise_HW3 = np.random.default_rng(side_px).integers(0, 40, (side_px, side_px, 3))
    image_HW3 = (np.stack([x, y, x + y], -1) * 200 // (2 * side_px) + noise_HW3).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image_HW3).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def change_codes(data: bytes) -> bytes:
    """Return a file with a tenth of it, behind the middle, replaced by random bytes."""
    start, size = len(data) // 2, len(data) // 10
    return data[:start] + random.Random(1).randbytes(size) + data[start + size :]


def cut_off(data: bytes) -> bytes:
    """Return the first two thirds of a file."""
    return data[: len(data) * 2 // 3]


def cut_and_close(jpeg: bytes) -> bytes:
    """Return the first two thirds of a JPEG with a marker of its end, as a program writes that mends files."""
    return cut_off(jpeg) + b"\xff\xd9"


def break_checksum(png: bytes) -> bytes:
    """Return a PNG with a changed bit in the checksum of its first chunk of pixels."""
    chunk = png.index(b"IDAT")
    end = chunk + 4 + int.from_bytes(png[chunk - 4 : chunk])
    return png[:end] + bytes([png[end] ^ 1]) + png[end + 1 :]


#: Damage by name, with the format of the pictures that it is done to.
DAMAGES: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "codes": ("JPEG", change_codes),
    "cut": ("JPEG", cut_off),
    "closed": ("JPEG", cut_and_close),
    "checksum": ("PNG", break_checksum),
    "cutpng": ("PNG", cut_off),
}


def damaged_picture(damage: str, **options: object) -> bytes:
    """Return a picture with a damage of `DAMAGES`."""
    form, change = DAMAGES[damage]
    return change(encode_picture(form, **options))
