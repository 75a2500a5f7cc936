"""What a decoder may hold is bounded by what its stream declares, before the pictures are there."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from avf_curation.media import decoder_memory
from avf_curation.media.decode import MediaFile
from avf_curation.media.decoder_memory import held_bytes
from avf_curation.media.types import MediaError
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.media
SMALL_FILE, LARGE_FILE = 200_000, 80_000_000


def is_allowed(codec: str, pixel_format: str, size: tuple[int, int], file_bytes: int, delayed: int = 2) -> bool:
    allowed_bytes = decoder_memory._ALLOWED_BYTES + decoder_memory._ALLOWED_BYTES_PER_BYTE * file_bytes
    return held_bytes(codec, pixel_format, *size, delayed) <= allowed_bytes


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg2video", "png", "mjpeg", "ffv1"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "rgb24"])
def test_pictures_of_every_codec_up_to_4k_are_decoded_from_any_file(codec: str, pixel_format: str) -> None:
    assert is_allowed(codec, pixel_format, (3840, 2160), SMALL_FILE)


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("h264", "yuv420p"),
        ("hevc", "yuv420p10le"),
        ("vp9", "yuv420p10le"),
        ("libdav1d", "yuv420p10le"),
        ("png", "rgba64be"),
        ("png", "rgb24"),
        ("ffv1", "yuv444p16le"),
    ],
)
def test_the_largest_pictures_are_not_decoded_from_a_small_file(codec: str, pixel_format: str) -> None:
    assert not is_allowed(codec, pixel_format, (8192, 8192), SMALL_FILE)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "libdav1d"])
def test_8k_films_of_seconds_are_decoded(codec: str, pixel_format: str) -> None:
    assert is_allowed(codec, pixel_format, (7680, 4320), LARGE_FILE)


def write_film(path: Path, codec: str, pixel_format: str, sizes: list[int]) -> None:
    """Write 20 grey pictures of each size; a stream of several sizes is several streams one after the other."""
    data = b""
    for side in sizes:
        with av.open(str(path), "w", format="h264" if codec == "libx264" else None) as film:
            options = {"x264-params": "ref=16:keyint=250"} if codec == "libx264" else {}
            video = film.add_stream(codec, rate=25, options=options)
            video.width, video.height, video.pix_fmt = side, side, pixel_format
            frame = av.VideoFrame(side, side, pixel_format)
            for plane in frame.planes:
                plane.update(bytes([90]) * plane.buffer_size)
            for number in range(20):
                frame.pts, frame.time_base = number, Fraction(1, 25)
                film.mux(video.encode(frame))
            film.mux(video.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("a.h264", ("libx264", "yuv420p", [512])),
        ("a.h264", ("libx264", "yuv420p", [64, 512])),  # the size changes in mid-stream
        ("a.mov", ("png", "rgba64be", [512])),
    ],
)
def test_a_stream_that_asks_for_more_fails_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stream: tuple[str, str, list[int]]
) -> None:
    path = tmp_path / name
    write_film(path, *stream)
    with MediaFile(path, CONFIG) as media:
        assert sum(1 for _ in media.frames()) >= 20
    monkeypatch.setattr(decoder_memory, "_ALLOWED_BYTES", 3_000_000)
    monkeypatch.setattr(decoder_memory, "_ALLOWED_BYTES_PER_BYTE", 0)
    with (
        pytest.raises(MediaError, match=r"decoding 512 x 512 pixels of (h264|png) may hold \d+ MB") as caught,
        MediaFile(path, CONFIG) as media,
    ):
        list(media.frames())
    assert caught.value.kind == "memory_limit"
