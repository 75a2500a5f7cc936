"""The orientation in a picture's EXIF, by which cameras say how they were held, and the picture turned by it."""

import io
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

_Picture = npt.NDArray[np.uint8]
UPRIGHT = 1
_MARKS = (b"Exif", b"eXIf", b"iff:Orientation")  # of EXIF in a JPEG and in a PNG, and of a copy of it in XMP
#: By EXIF's number: what a viewer does with the stored pixels (H, W, 3).
_TURNS: Mapping[int, Callable[[_Picture], _Picture]] = {
    2: lambda stored_HW3: stored_HW3[:, ::-1],
    3: lambda stored_HW3: stored_HW3[::-1, ::-1],
    4: lambda stored_HW3: stored_HW3[::-1],
    5: lambda stored_HW3: stored_HW3.swapaxes(0, 1),
    6: lambda stored_HW3: stored_HW3[::-1].swapaxes(0, 1),  # a quarter to the right
    7: lambda stored_HW3: stored_HW3[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored_HW3: stored_HW3[:, ::-1].swapaxes(0, 1),  # a quarter to the left
}


def read_orientation(data: bytes) -> int:
    """Return the number from 1 to 8 in the EXIF of a JPEG or PNG; 1, which is upright, where it has none or another."""
    if not any(mark in data for mark in _MARKS):  # as of what curation stores, which need not be looked into
        return UPRIGHT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that make no sense
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                number = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises errors of many kinds for damaged EXIF, which says nothing of the pixels
        return UPRIGHT
    return number if isinstance(number, int) and number in _TURNS else UPRIGHT


def turn_upright(stored_HW3: _Picture, orientation: int) -> _Picture:
    """Return a stored picture as a viewer shows it."""
    return np.ascontiguousarray(_TURNS[orientation](stored_HW3)) if orientation in _TURNS else stored_HW3
