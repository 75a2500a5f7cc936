"""Pictures are upright in training by the orientation of their EXIF, as in curation."""

import io

import numpy as np
import pytest
from avf_curation.media.picture_file import decode_picture_file
from avf_training.data.picture import decode_rgb
from PIL import Image, ImageOps, PngImagePlugin

ORIENTATION = 0x0112
#: Where the square lies in a stored picture of 3 x 2 that a viewer shows at the top left, and the one to its right.
VIEWED = {
    1: ((0, 0), (0, 1)),
    2: ((0, 2), (0, 1)),
    3: ((1, 2), (1, 1)),
    4: ((1, 0), (1, 1)),
    5: ((0, 0), (1, 0)),
    6: ((1, 0), (0, 0)),
    7: ((1, 2), (0, 2)),
    8: ((0, 2), (1, 2)),
}


def stored_picture() -> np.ndarray:
    """Return three columns and two rows of colours, in squares of 16 pixels."""
    colours = np.array([[[250, 20, 20], [20, 250, 20], [20, 20, 250]], [[250, 250, 20], [20, 250, 250], [90, 90, 90]]])
    return colours.astype(np.uint8).repeat(16, 0).repeat(16, 1)


def encode(form: str, orientation: int, **options: object) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    Image.fromarray(stored_picture()).save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", VIEWED)
def test_each_orientation_is_shown_upright(form: str, orientation: int) -> None:
    data = encode(form, orientation, **({"quality": 98, "subsampling": 0} if form == "JPEG" else {}))
    rgb_HW3 = decode_rgb(data, "it")
    stored = stored_picture()
    for column, (y, x) in enumerate(VIEWED[orientation]):
        expected = stored[16 * y + 8, 16 * x + 8].astype(int)
        assert np.abs(rgb_HW3[8, 16 * column + 8].astype(int) - expected).max() < 12
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    curated = decode_picture_file(data, 10_000).image_HWC[..., ::-1]
    assert rgb_HW3.shape == upright.shape == curated.shape
    for other in (upright, curated):  # decoders of JPEG round in their own ways
        assert np.abs(rgb_HW3.astype(int) - other.astype(int)).max() <= (3 if form == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_number_that_is_no_orientation_turns_nothing(orientation: int) -> None:
    assert np.array_equal(decode_rgb(encode("PNG", orientation), "it"), stored_picture())


def test_damaged_exif_and_the_mere_word_turn_nothing() -> None:
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", b"Exif\0\0" + bytes(range(256))):
        buffer = io.BytesIO()
        Image.fromarray(stored_picture()).save(buffer, "JPEG", exif=exif)
        assert decode_rgb(buffer.getvalue(), "it").shape == (32, 48, 3)
    notes, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    notes.add_text("comment", "Exif eXIf")
    Image.fromarray(stored_picture()).save(buffer, "PNG", pnginfo=notes)
    assert np.array_equal(decode_rgb(buffer.getvalue(), "it"), stored_picture())
