"""Damage inside a picture is told, although its decoder fills in what is lost; a whole picture is left alone."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from avf_curation.media.picture_file import decode_picture_file
from avf_curation.media.types import MediaError
from PIL import Image
from support.face_pictures import draw_faces

LIMIT = 10_000_000
IMAGES = Path(__file__).parents[4] / "shared/assets/image"


def encode(form: str, mode: str = "RGB", **options: object) -> bytes:
    image_HWC = np.ascontiguousarray(draw_faces(3)[..., ::-1])
    noise_HWC = np.random.default_rng(1).integers(0, 24, image_HWC.shape).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image_HWC // 2 + noise_HWC).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


WHOLE = {
    "baseline": encode("JPEG"),
    "4:4:4": encode("JPEG", subsampling=0, quality=95),
    "4:2:2": encode("JPEG", subsampling=1),
    "progressive": encode("JPEG", progressive=True),
    "restart markers": encode("JPEG", restart_marker_blocks=4),
    "grey": encode("JPEG", "L"),
    "CMYK": encode("JPEG", "CMYK"),
    "OpenCV": bytes(cv2.imencode(".jpg", draw_faces(3))[1]),
    "PNG": encode("PNG"),
    "PNG of a palette": encode("PNG", "P"),
    "TIFF, deflate": encode("TIFF", compression="tiff_adobe_deflate"),
    "TIFF, JPEG": encode("TIFF", compression="jpeg"),
    "TIFF, LZW": encode("TIFF", compression="tiff_lzw"),
}


def write_multi_picture() -> bytes:
    buffer = io.BytesIO()
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    return buffer.getvalue()


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_is_decoded(name: str) -> None:
    assert decode_picture_file(WHOLE[name], LIMIT).width_px == 240


@pytest.mark.parametrize(
    "data", [WHOLE["baseline"] + b"more" * 900, WHOLE["progressive"] + bytes(900), write_multi_picture()]
)
def test_what_lies_behind_a_picture_is_no_damage(data: bytes) -> None:
    decode_picture_file(data, LIMIT)


@pytest.mark.parametrize("name", ["baseline", "4:4:4", "4:2:2", "progressive", "restart markers", "OpenCV"])
def test_a_part_of_a_jpeg_that_was_lost_is_told(name: str) -> None:
    """What is read in the place of the lost part can by chance be a picture's data as well."""
    reasons = [damage_of(damaged) for damaged in lose_parts(WHOLE[name])]
    assert sum(reason is not None for reason in reasons) >= len(reasons) - 2
    assert any("damaged inside (Corrupt" in str(reason) for reason in reasons)


def test_a_part_of_a_png_that_was_lost_is_told() -> None:
    assert all(damage_of(damaged) for damaged in lose_parts(WHOLE["PNG"]))


@pytest.mark.parametrize("name", ["TIFF, deflate", "TIFF, JPEG", "TIFF, LZW"])
def test_a_part_of_a_tiff_that_was_lost_is_told_and_nothing_is_printed(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = WHOLE[name]
    start = len(data) // 2
    for part in (bytes(400), random.Random(4).randbytes(400)):
        assert damage_of(data[:start] + part + data[start + 400 :]) is not None
    assert capfd.readouterr().err == ""


def lose_parts(data: bytes) -> Iterator[bytes]:
    """Yield the file with a tenth of it zeroed, as noise or missing, at several positions."""
    size = len(data) // 10
    for start in range(3 * size, 9 * size, size):
        for part in (bytes(size), random.Random(start).randbytes(size), b""):
            yield data[:start] + part + data[start + size :]


def damage_of(data: bytes) -> str | None:
    """Return why a file is refused, or None."""
    try:
        decode_picture_file(data, LIMIT)
    except MediaError as error:
        return str(error)
    return None


def test_each_changed_byte_of_a_png_is_told() -> None:
    data, draw = WHOLE["PNG"], random.Random(2)
    for _ in range(60):
        damaged = bytearray(data)
        damaged[draw.randrange(8, len(data))] ^= draw.randrange(1, 256)
        assert damage_of(bytes(damaged)) is not None


def test_both_decoders_are_needed_for_changed_bytes() -> None:
    """A byte can change without any decoder noticing; the two together see more than half of such changes."""
    data, draw, told = WHOLE["baseline"], random.Random(3), {"libjpeg": 0, "FFmpeg": 0, "": 0}
    for _ in range(200):
        damaged = bytearray(data)
        start = draw.randrange(1000, len(data) - 60)
        for _ in range(8):
            damaged[start + draw.randrange(48)] ^= draw.randrange(1, 256)
        reason = damage_of(bytes(damaged))
        told["" if reason is None else "FFmpeg" if "FFmpeg" in reason else "libjpeg"] += 1
    assert told["libjpeg"] > 100
    assert told["FFmpeg"] > 0
    assert told[""] < 100


@pytest.mark.real
@pytest.mark.skipif(not IMAGES.is_dir(), reason="shared/assets is not there")
def test_no_real_picture_is_called_damaged() -> None:
    paths = sorted(IMAGES.glob("*.jpg"))
    assert len(paths) > 5
    for path in paths:
        assert damage_of(path.read_bytes()) is None, path.name
