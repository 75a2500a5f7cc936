"""Pictures decode to the bits that FFmpeg gives, and one that is damaged inside is a fault."""

import io
import random

import av
import numpy as np
import pytest
from avf_shards.errors import FaultError
from avf_training.data.picture import decode_rgb
from PIL import Image
from support.damaged_pictures import (
    DAMAGES,
    break_checksum,
    change_codes,
    cut_and_close,
    cut_off,
    damaged_picture,
    encode_picture,
)

JPEGS: dict[str, dict[str, object]] = {
    "baseline": {},
    "4:4:4": {"subsampling": 0, "quality": 95},
    "4:2:2": {"subsampling": 1},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 4},
    "optimized": {"optimize": True},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}
PNGS = {mode: {"mode": mode} for mode in ("RGB", "RGBA", "L", "LA", "P", "1")}
SIDES_PX = (1, 7, 8, 17, 97, 112, 224)
WHOLE = [("JPEG", options) for options in JPEGS.values()] + [("PNG", options) for options in PNGS.values()]


def decode_without_checks(data: bytes) -> np.ndarray:
    """Return what FFmpeg alone makes of a file, (H, W, 3)."""
    context = av.CodecContext.create("png" if data[:2] == b"\x89P" else "mjpeg", "r")
    (frame,) = [*context.decode(av.Packet(data)), *context.decode(None)]
    return frame.to_ndarray(format="rgb24")


def is_refused(data: bytes) -> bool:
    try:
        decode_rgb(data, "it")
    except FaultError as error:
        return str(error).startswith("it: ")
    return False


@pytest.mark.parametrize(("form", "options"), WHOLE, ids=[*JPEGS, *PNGS])
def test_whole_pictures_keep_their_bits(form: str, options: dict[str, object]) -> None:
    for side_px in SIDES_PX:
        data = encode_picture(form, side_px=side_px, **options)
        rgb_HW3 = decode_rgb(data, "it")
        assert rgb_HW3.shape == (side_px, side_px, 3)
        assert np.array_equal(rgb_HW3, decode_without_checks(data)), side_px


def test_what_does_not_belong_to_the_pixels_is_no_damage() -> None:
    animated = io.BytesIO()
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(animated, "PNG", save_all=True, append_images=frames[1:])
    for data in (
        encode_picture("JPEG", comment=b"a comment"),
        encode_picture("JPEG") + b"more" * 900,
        encode_picture("JPEG", progressive=True) + bytes(900),
        encode_picture("PNG") + b"more" * 900,
        encode_picture("PNG", icc_profile=b"no profile"),
        animated.getvalue(),
    ):
        assert np.array_equal(decode_rgb(data, "it"), decode_without_checks(data))


@pytest.mark.parametrize("name", JPEGS)
def test_damage_inside_a_jpeg_is_a_fault(name: str) -> None:
    data = encode_picture("JPEG", side_px=224, **JPEGS[name])
    for change in (change_codes, cut_off, cut_and_close):
        assert is_refused(change(data)), change.__name__


def test_each_decoder_tells_of_damage_that_the_other_takes() -> None:
    """Eight changed bytes can be other valid codes: a third is seen by one of the two decoders."""
    data, draw, messages = encode_picture("JPEG", side_px=224), random.Random(3), []
    for _ in range(200):
        damaged = bytearray(data)
        start = draw.randrange(1000, len(data) - 60)
        for _ in range(8):
            damaged[start + draw.randrange(48)] ^= draw.randrange(1, 256)
        try:
            decode_rgb(bytes(damaged), "it")
        except FaultError as error:
            messages.append(str(error))
    assert sum("does not decode" in message for message in messages) > 10
    assert sum("damaged inside (Corrupt JPEG data" in message for message in messages) > 10
    assert len(messages) > 60


@pytest.mark.parametrize("mode", PNGS)
def test_each_changed_byte_of_a_png_is_a_fault(mode: str) -> None:
    data, draw = encode_picture("PNG", mode=mode), random.Random(2)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[draw.randrange(8, len(data))] ^= draw.randrange(1, 256)
        assert is_refused(bytes(damaged))
    assert is_refused(break_checksum(data))
    assert is_refused(cut_off(data))


def test_a_png_without_some_of_its_chunks_is_a_fault() -> None:
    data = encode_picture("PNG", side_px=300)
    chunks = [offset - 4 for offset in range(len(data)) if data[offset : offset + 4] == b"IDAT"]
    end = data.index(b"IEND") - 4
    assert len(chunks) > 2
    decode_without_checks(data[: chunks[-1]] + data[end:])
    with pytest.raises(FaultError, match=r"it: is damaged inside \(Corrupt PNG data: they end before their checksum"):
        decode_rgb(data[: chunks[-1]] + data[end:], "it")
    for damaged in (data[: chunks[1]], data[: chunks[1]] + data[chunks[2] :], data[: chunks[0]] + data[end:]):
        assert is_refused(damaged)


def test_a_decoder_that_is_not_asked_takes_the_damages_of_these_tests() -> None:
    for name in DAMAGES:
        damaged = damaged_picture(name)
        assert is_refused(damaged), name
        if name != "cutpng":
            assert decode_without_checks(damaged).shape == (96, 96, 3), name
