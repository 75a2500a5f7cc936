"""Face pictures are decoded upright and under limits; what is damaged is refused in words."""

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from avf_curation.media.picture_file import decode_picture_file, encode_picture, fit_picture
from avf_curation.media.types import MediaError
from PIL import Image
from support.bombs import write_png

LIMIT = 1_000_000


def encode(form: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or make_image()).save(buffer, form, **options)
    return buffer.getvalue()


def make_image() -> Image.Image:
    """Return a picture of 40 x 30 whose left half is red and whose right half is blue."""
    pixels_HWC = np.zeros((30, 40, 3), np.uint8)
    pixels_HWC[:, :20, 0], pixels_HWC[:, 20:, 2] = 255, 255
    return Image.fromarray(pixels_HWC)


@pytest.mark.parametrize(("form", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("BMP", None), ("TIFF", None)])
def test_each_format_is_decoded_as_bgr(form: str, extension: str | None) -> None:
    picture = decode_picture_file(encode(form), LIMIT)
    assert (picture.width_px, picture.height_px, picture.extension) == (40, 30, extension)
    np.testing.assert_allclose(picture.image_HWC[15, [5, 35]], [(0, 0, 255), (255, 0, 0)], atol=3)


def test_a_picture_on_its_side_stands_upright_and_is_not_stored_as_it_is() -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned to the left: the left edge of the file is the upper edge of the picture
    picture = decode_picture_file(encode("JPEG", exif=exif), LIMIT)
    assert (picture.width_px, picture.height_px, picture.extension) == (30, 40, None)
    np.testing.assert_allclose(picture.image_HWC[[5, 35], 15], [(0, 0, 255), (255, 0, 0)], atol=3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_other_colours_become_bgr(mode: str) -> None:
    image = make_image().convert("RGBA" if mode == "LA" else mode).convert(mode)
    picture = decode_picture_file(encode("JPEG" if mode == "CMYK" else "PNG", image), LIMIT)
    assert picture.image_HWC.shape == (30, 40, 3)


def test_sixteen_bits_become_their_upper_eight() -> None:
    levels_HW = np.linspace(0, 65535, 30 * 40).reshape(30, 40).astype(np.uint16)
    picture = decode_picture_file(encode("PNG", Image.fromarray(levels_HW)), LIMIT)
    np.testing.assert_array_equal(picture.image_HWC[..., 1], levels_HW >> 8)


def test_sixteen_bits_of_a_tiff_whose_zero_is_white_are_turned() -> None:
    levels_HW = np.linspace(0, 65535, 30 * 40).reshape(30, 40).astype(np.uint16)
    data = bytearray(encode("TIFF", Image.fromarray(levels_HW)))
    entry = data.index(struct.pack("<HHIH", 262, 3, 1, 1))  # the tag: black is zero
    data[entry + 8] = 0
    picture = decode_picture_file(bytes(data), LIMIT)
    np.testing.assert_array_equal(picture.image_HWC[..., 1], 255 - (levels_HW >> 8))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_levels_without_a_white_one_are_refused(kind: type) -> None:
    levels_HW = np.linspace(0, 30_000, 30 * 40).reshape(30, 40).astype(kind)
    with pytest.raises(MediaError, match="signed, of 32 bits or fractions") as caught:
        decode_picture_file(encode("TIFF", Image.fromarray(levels_HW)), LIMIT)
    assert caught.value.kind == "not_media"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_file_that_is_cut_off_is_refused(form: str) -> None:
    data = encode(form)
    for size in (len(data) // 2, len(data) - 30):
        with pytest.raises(MediaError, match="the picture does not decode") as caught:
            decode_picture_file(data[:size], LIMIT)
        assert caught.value.kind == "not_media"


@pytest.mark.parametrize("data", [b"", b"hello", encode("GIF"), b"%PDF-1.4", b"\xff\xd8\xff"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        decode_picture_file(data, LIMIT)
    assert caught.value.kind == "not_media"


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    write_png(tmp_path / "bomb.png", 4000, 4000)
    with pytest.raises(MediaError, match="4000 x 4000 pixels, more than 1,000,000 in all") as caught:
        decode_picture_file((tmp_path / "bomb.png").read_bytes(), LIMIT)
    assert caught.value.kind == "picture_size"
    with pytest.raises(MediaError, match="4 x 4 pixels, less than 8 a side"):
        decode_picture_file(encode("PNG", make_image().resize((4, 4))), LIMIT)


def test_random_damage_raises_nothing_else() -> None:
    draw, kinds = random.Random(5), set()
    files = [encode("JPEG"), encode("PNG"), encode("BMP")]
    for _ in range(600):
        data = bytearray(draw.choice(files))
        for _ in range(draw.choice((1, 3, 20))):
            data[draw.randrange(min(len(data), draw.choice((50, 700))))] = draw.randrange(256)
        try:
            decode_picture_file(bytes(data), LIMIT)
        except MediaError as error:
            kinds.add(error.kind)
    assert kinds == {"damaged", "not_media", "picture_size"}


def test_a_picture_is_shrunk_and_never_enlarged() -> None:
    image_HWC = decode_picture_file(encode("PNG"), LIMIT).image_HWC
    shrunk_HWC, scale = fit_picture(image_HWC, 20)
    assert (shrunk_HWC.shape, scale) == ((15, 20, 3), 0.5)
    same_HWC, scale = fit_picture(image_HWC, 100)
    assert same_HWC is image_HWC
    assert scale == 1.0
    assert decode_picture_file(encode_picture(image_HWC, 92), LIMIT).image_HWC.shape == image_HWC.shape
