"""Decoding maps rotated, odd, huge and mistimed video to 25 fps, and places audio by its timestamps."""

import struct
from pathlib import Path

import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import MediaError
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.videos import make_video

CONFIG = make_recipe().defaults.media


def open_media(tmp_path: Path, data: bytes, name: str = "film.mp4") -> MediaFile:
    (tmp_path / name).write_bytes(data)
    return MediaFile(tmp_path / name, CONFIG)


def brightness_levels(media: MediaFile) -> list[int]:
    """Brightness of the right half at each index."""
    converter = FrameConverter()
    return [int(converter.array(entry.frame, 96, 64, "gray")[32, 80]) for entry in media.frames()]


@pytest.mark.parametrize(("rate", "frames", "expected"), [(25, 50, 50), (30, 60, 50), (50, 100, 50), (12, 24, 50)])
def test_every_frame_rate_becomes_25_fps(tmp_path: Path, rate: int, frames: int, expected: int) -> None:
    with open_media(tmp_path, make_video(frames, rate=rate)) as media:
        assert len(brightness_levels(media)) == expected
        assert media.video_track is not None
        assert media.video_track.frames == expected


def test_a_span_has_the_bytes_of_the_sequential_pass(tmp_path: Path) -> None:
    converter = FrameConverter()
    with open_media(tmp_path, make_video(200, options={"g": "90"})) as media:
        all_frames = [converter.array(entry.frame, 96, 64, "bgr24") for entry in media.frames()]
        for span in (Span(0, 3), Span(85, 100), Span(190, 200), Span(40, 41)):
            span_frames = [converter.array(frame, 96, 64, "bgr24") for frame in media.read(span)]
            np.testing.assert_array_equal(
                np.stack(span_frames), np.stack(all_frames[span.start_frame : span.stop_frame])
            )


def test_rotated_video_is_decoded_upright(tmp_path: Path) -> None:
    data = bytearray(make_video(10))
    matrix_offset = data.index(b"tkhd") + 4 + 40  # the display matrix of the first track
    quarter_clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)
    data[matrix_offset : matrix_offset + 36] = quarter_clockwise
    with open_media(tmp_path, bytes(data)) as media:
        frame = next(media.frames()).frame
        upright, _ = FrameConverter().long_side(frame, 96, "gray")
        list(media.frames())
    assert upright.shape == (96, 64)
    assert upright[10].mean() < upright[-10].mean(), "the dark left half is on top after a quarter turn clockwise"


@pytest.mark.parametrize("size", [(98, 66), (16, 16), (322, 182)])
def test_odd_frame_sizes_are_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    with open_media(tmp_path, make_video(30, size)) as media:
        assert len(list(media.frames())) == 30
        assert media.video_track is not None
        (picture,) = media.video_track.pictures
        assert (picture.width_px, picture.height_px) == size


def test_an_8k_frame_is_decoded(tmp_path: Path) -> None:
    with open_media(tmp_path, make_video(3, (7680, 4320), options={"preset": "ultrafast"}, sound_from_s=None)) as media:
        assert len(list(media.frames())) == 3


def test_a_frame_beyond_the_size_limit_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "big.mp4").write_bytes(make_video(5, (640, 480)))
    with MediaFile(tmp_path / "big.mp4", replace(CONFIG, max_pixels=100_000)) as media, pytest.raises(MediaError):
        list(media.frames())


def test_video_without_a_key_frame_at_the_start_is_decoded(tmp_path: Path) -> None:
    """The first packets are lost: what decodes is used, nothing hangs, a reason is given when nothing does."""
    data = make_video(60, codec="mpeg4", container="avi", options={"g": "20"})
    offset = data.index(b"movi") + 4
    holed = data[: offset + 8] + bytes(600) + data[offset + 608 :]
    with open_media(tmp_path, holed, "holed.avi") as media:
        assert 0 < len(list(media.frames())) <= 60


def test_absurd_timestamps_are_refused(tmp_path: Path) -> None:
    far = [n if n < 25 else 25 * 3600 * 13 + n for n in range(50)]
    with open_media(tmp_path, make_video(50, times=far, sound_from_s=None)) as media:
        with pytest.raises(MediaError, match="timestamps run past") as caught:
            list(media.frames())
        assert caught.value.kind == "absurd_timestamps"


def test_a_last_frame_that_lasts_for_days_is_refused(tmp_path: Path) -> None:
    """By its rate of a frame in eleven days, 300 bytes made twenty-five million frames."""
    film = b"YUV4MPEG2 W16 H16 F1:1000000 Ip A1:1 Cmono\nFRAME\n" + bytes(256)
    with open_media(tmp_path, film, "film.y4m") as media:
        with pytest.raises(MediaError, match="last frame runs past") as caught:
            list(media.frames())
        assert caught.value.kind == "absurd_timestamps"


def test_a_file_with_a_frame_rate_of_zero_is_decoded(tmp_path: Path) -> None:
    """An AVI whose headers say 0 fps: read, never a crash, a hang or endless frames."""
    data = bytearray(make_video(50, codec="mpeg4", container="avi"))
    struct.pack_into("<I", data, data.index(b"avih") + 8, 0)  # microseconds per frame
    struct.pack_into("<I", data, data.index(b"strh") + 32, 0)  # rate
    with open_media(tmp_path, bytes(data), "zero.avi") as media:
        assert len(list(media.frames())) == 50  # FFmpeg takes 25 fps


def test_a_gap_in_the_timestamps_is_missing_video(tmp_path: Path) -> None:
    holed = [n if n < 25 else n + 75 for n in range(50)]
    with open_media(tmp_path, make_video(50, times=holed, sound_from_s=None)) as media:
        count = len(list(media.frames()))
        assert media.video_track is not None
        assert count == 125
        (gap,) = media.video_track.gaps
        assert 60 <= gap.frames <= 75


@pytest.mark.parametrize("late_s", [0.0, 0.5])
def test_audio_is_placed_by_its_timestamps(tmp_path: Path, late_s: float) -> None:
    data = make_video(100, container="matroska", sound_from_s=late_s)
    with open_media(tmp_path, data, "film.mkv") as media:
        list(media.frames())
        sound = media.audio(100)
    assert sound is not None
    clicks = np.nonzero(sound.samples > 10_000)[0]
    np.testing.assert_allclose(clicks[:3] / 16_000, late_s + np.arange(3), atol=1 / 16_000)
    assert sound.missing_frames(Span(0, 25)) == pytest.approx(late_s * 25, abs=0.1)


def test_file_names_that_look_like_urls_are_opened_as_files(tmp_path: Path) -> None:
    for name in ("concat:a|b.mp4", "http:x.mp4", "pipe:0.mp4", "data:,x.mp4"):
        with open_media(tmp_path, make_video(10), name) as media:
            assert len(list(media.frames())) == 10


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(make_video(10))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile real.mp4\n")
    with pytest.raises(MediaError) as caught:
        MediaFile(tmp_path / "list.mp4", CONFIG)
    assert caught.value.kind == "not_media"


def test_a_video_whose_codec_nobody_knows_is_the_files_own_fault(tmp_path: Path) -> None:
    """A damaged header names a codec that FFmpeg has no decoder for."""
    path = tmp_path / "film.mp4"
    film = make_video()
    assert film.count(b"avc1") > 0
    path.write_bytes(film.replace(b"avc1", b"????"))
    with pytest.raises(MediaError) as caught:
        MediaFile(path, make_recipe().defaults.media)
    assert caught.value.kind == "no_frames"
