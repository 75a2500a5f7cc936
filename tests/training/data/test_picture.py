"""Pictures that cannot be read are told in plain words, and what declares too much is refused by its header."""

import io
import struct

import pytest
from avf_shards.errors import FaultError
from avf_training.data.decode import decode_planes
from avf_training.data.picture import declared_size, decode_rgb
from PIL import Image


def encode(kind: str, width: int = 32, height: int = 24) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 30)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_header_says_the_size_and_too_much_is_refused(kind: str) -> None:
    data = encode(kind)
    assert declared_size(data) == (32, 24)
    assert decode_rgb(data, "p").shape == (24, 32, 3)
    if kind == "PNG":
        huge = data[:16] + struct.pack(">II", 30_000, 30_000) + data[24:]
    else:
        huge = data.replace(struct.pack(">HH", 24, 32), struct.pack(">HH", 30_000, 30_000), 1)
    assert declared_size(huge) == (30_000, 30_000)
    with pytest.raises(FaultError, match=r"^p: declares 30,000 x 30,000 pixels, more than .*; scale it down, or leave"):
        decode_rgb(huge, "p")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("length", [2, 3, 20, 24, 60])
def test_what_is_cut_off_has_no_words_of_ffmpeg(kind: str, length: int) -> None:
    data = encode(kind)[:length]
    with pytest.raises(FaultError) as caught:
        decode_rgb(data, "p")
    assert str(caught.value).startswith("p: ")
    assert not {"Errno", "avcodec", "1094995529"} & set(str(caught.value).replace("(", " ").replace("_", " ").split())
    declared_size(data)


def test_a_video_of_other_bytes_has_no_words_of_ffmpeg() -> None:
    with pytest.raises(FaultError, match=r"^the video does not decode \(its data are damaged or cut off\)$"):
        decode_planes(b"\x00" * 100, [0])


def test_a_jpeg_of_markers_alone_has_no_size() -> None:
    assert declared_size(b"\xff\xd8" + b"\xff" * 50) is None
    assert declared_size(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 20) is None
