"""Review and pages decode stored clips and folders of images as their own format alone, up to a limit of pixels."""

import io
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile
from avf_curation.media import encode
from avf_curation.media.encode import decode_packed_jpeg, encode_flac
from avf_curation.media.image_sequence import image_sequence_video
from avf_curation.media.preview import PreviewConfig, clip_preview
from avf_curation.media.types import MediaError
from avf_shards.errors import FaultError
from avf_shards.schema.packed_jpeg import pack_images
from support.clips import encode_flashing_clip

CONFIG = PreviewConfig(max_s=0.4)
PICTURE = np.full((40, 60, 3), 90, np.uint8)


def encode_image(extension: str) -> bytes:
    return bytes(cv2.imencode(extension, PICTURE)[1])


def jpeg_of(width: int, height: int) -> bytes:
    """Return a JPEG that declares this size."""
    data = bytearray(encode_image(".jpg"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def test_a_packed_picture_is_jpeg_and_of_a_size_that_clips_have() -> None:
    (frame,) = decode_packed_jpeg(pack_images([encode_image(".jpg")]))
    assert frame.shape == PICTURE.shape
    assert np.abs(frame.astype(int) - PICTURE).max() < 4
    for bad in (b"no picture", encode_image(".png"), encode_image(".bmp"), jpeg_of(65500, 65500)):
        with pytest.raises(FaultError, match="picture 0 is no mjpeg image of up to 16,777,216 pixels"):
            list(decode_packed_jpeg(pack_images([bad])))


def test_the_preview_of_a_clip_takes_flac_alone() -> None:
    members = encode_flashing_clip(20, 3)
    assert len(clip_preview(members, CONFIG).frames_THWC) == 10
    wav = io.BytesIO()
    soundfile.write(wav, np.zeros(12800, np.int16), 16000, format="WAV")
    with pytest.raises(MediaError, match="its sound is no FLAC"):
        clip_preview({**members, "flac": wav.getvalue()}, CONFIG)
    with pytest.raises(MediaError, match="picture 0 is no mjpeg image"):
        clip_preview({"frames": pack_images([b"x"]), "flac": encode_flac(np.zeros(12800, np.int16))}, CONFIG)


def test_the_preview_of_a_clip_decodes_no_larger_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avf_curation.media.stored_clip.MAX_STORED_PIXELS", 1000)
    with pytest.raises(MediaError, match="the stored clip is no readable video"):
        clip_preview(encode_flashing_clip(20, 3), CONFIG)


@pytest.mark.parametrize("damage", ["another format", "too many pixels"])
def test_a_bmp_is_opened_as_that_and_under_a_limit(damage: str, tmp_path: Path) -> None:
    data = bytearray(encode_image(".bmp"))
    if damage == "another format":
        data = bytearray(encode_image(".png"))
    else:
        data[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "1.bmp").write_bytes(data)
    with pytest.raises(MediaError, match=r"the image 1.bmp cannot be read \(1.bmp is no bmp image of up to 67,108,864"):
        image_sequence_video(tmp_path)


def test_a_bmp_has_its_pixels(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    (tmp_path / "1.bmp").write_bytes(bytes(cv2.imencode(".bmp", picture)[1]))
    (frame,) = image_sequence_video(tmp_path).decode(video=0)
    np.testing.assert_array_equal(frame.to_ndarray(format="bgr24"), picture)


def test_a_jpeg_of_too_many_pixels_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg_of(65_500, 65_500))
    with pytest.raises((MediaError, av.error.FFmpegError, ValueError)):
        next(image_sequence_video(tmp_path).decode(video=0))


def test_the_limit_of_an_image_is_the_callers() -> None:
    assert encode.decode_image("mjpeg", encode_image(".jpg"), 100_000, "x").shape == PICTURE.shape
    with pytest.raises(FaultError, match=r"^x is no mjpeg image of up to 1,000 pixels"):
        encode.decode_image("mjpeg", encode_image(".jpg"), 1000, "x")
