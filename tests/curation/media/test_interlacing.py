"""Interlaced and telecined films come without combs, whether flagged or not; progressive ones stay as they are."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.interlacing import CombDetector
from avf_curation.media.types import Bytes, VideoTrack
from avf_curation.stages import scenes
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.media
WIDTH, HEIGHT = 192, 144


def moments(count: int, step_px: float, noise: float = 2.0) -> list[Bytes]:
    """Return pictures of a disc with a face's contrast that moves over a still pattern."""
    draw = np.random.default_rng(3)
    pattern = cv2.GaussianBlur(draw.normal(0, 40, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3) * 4 + 110
    pictures = []
    for number in range(count):
        x = 60 + (number * step_px) % 70
        disc = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.circle(disc, (round(x * 16), 72 * 16), 34 * 16, 1.0, -1, cv2.LINE_AA, 4)
        cv2.circle(disc, (round((x - 10) * 16), 64 * 16), 5 * 16, -0.5, -1, cv2.LINE_AA, 4)
        image = pattern + cv2.GaussianBlur(disc, (0, 0), 0.8) * 90 + draw.normal(0, noise, disc.shape)
        pictures.append(np.repeat(image.clip(16, 235).astype(np.uint8)[..., None], 3, axis=2))
    return pictures


def weave(upper: Bytes, lower: Bytes) -> Bytes:
    frame = upper.copy()
    frame[1::2] = lower[1::2]
    return frame


def telecine(film: list[Bytes]) -> list[Bytes]:
    """Return five frames for each four, by 3:2 pulldown."""
    frames = []
    for a, b, c, d in zip(*(film[i::4] for i in range(4)), strict=True):
        frames += [a, b, weave(b, c), weave(c, d), d]
    return frames


def encode(pictures: list[Bytes], *, flagged: bool, codec: str = "libx264", rate: Fraction = Fraction(25)) -> bytes:
    sink = io.BytesIO()
    options = {"crf": "6", "preset": "ultrafast"} if codec == "libx264" else {}
    if flagged:
        options |= {"flags": "+ildct+ilme"} | ({"x264-params": "tff=1"} if codec == "libx264" else {})
    with av.open(sink, "w", format="matroska") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if codec == "mpeg2video":
            stream.bit_rate = 20_000_000
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def read_twice(path: Path, data: bytes) -> tuple[list[Bytes], VideoTrack]:
    path.write_bytes(data)
    converter = FrameConverter()
    with MediaFile(path, CONFIG) as media:
        first = [converter.array(entry.frame, WIDTH, HEIGHT, "bgr24") for entry in media.frames()]
        assert media.video_track is not None
        for index, frame in enumerate(media.read(Span(7, len(first))), 7):
            np.testing.assert_array_equal(converter.array(frame, WIDTH, HEIGHT, "bgr24"), first[index])
        return first, media.video_track


def psnr(frames: list[Bytes], reference: list[Bytes]) -> float:
    error = np.mean([(a.astype(float) - b) ** 2 for a, b in zip(frames, reference, strict=True)])
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(("flagged", "codec"), [(True, "libx264"), (False, "libx264"), (True, "mpeg2video")])
def test_interlaced_film_with_motion_comes_without_combs(tmp_path: Path, flagged: bool, codec: str) -> None:
    fields = moments(80, step_px=3)
    woven = [weave(upper, lower) for upper, lower in zip(fields[0::2], fields[1::2], strict=True)]
    frames, video_track = read_twice(tmp_path / "film.mkv", encode(woven, flagged=flagged, codec=codec))
    assert psnr(woven, fields[0::2]) < 30, "the combs cost this much"
    assert psnr(frames, fields[0::2]) > 35
    assert video_track.deinterlaced.mean() > 0.95
    assert not video_track.telecined
    (oddity,) = scenes.measure(Span(0, 40), video_track, None).oddities
    assert "interlaced with motion, and were deinterlaced" in oddity


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("noise", [0.0, 12.0])
def test_progressive_film_keeps_its_lines(tmp_path: Path, flagged: bool, noise: float) -> None:
    """Also in a stream whose flag says interlaced, as films on DVD do, and under heavy noise."""
    pictures = moments(30, step_px=3, noise=noise)
    _, video_track = read_twice(tmp_path / "film.mkv", encode(pictures, flagged=flagged))
    assert not video_track.deinterlaced.any()
    assert scenes.measure(Span(0, 30), video_track, None).oddities == ()


def test_interlaced_film_without_motion_keeps_its_lines(tmp_path: Path) -> None:
    _, video_track = read_twice(tmp_path / "film.mkv", encode(moments(1, 0) * 10, flagged=True))
    assert not video_track.deinterlaced.any()


def test_telecined_film_is_recorded_and_repaired(tmp_path: Path) -> None:
    film = moments(120, step_px=3)
    frames = telecine(film)
    shown, video_track = read_twice(tmp_path / "film.mkv", encode(frames, flagged=False))
    assert video_track.telecined
    assert video_track.deinterlaced.mean() == pytest.approx(0.4, abs=0.05)
    repaired = [index for index in range(100) if index % 5 in (2, 3)]
    assert psnr([shown[i] for i in repaired], [film[4 * (i // 5) + i % 5 - 1] for i in repaired]) > 33
    (oddity,) = scenes.measure(Span(0, 100), video_track, None).oddities
    assert oddity.endswith("the film is telecined.")


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(("dark", "bright"), [(30, 220), (110, 140)])
def test_still_stripes_of_one_line_are_no_combs(tmp_path: Path, flagged: bool, dark: int, bright: int) -> None:
    """A shirt, a blind or scan lines, with a face that moves beside them, over a cut to stripes of the other kind."""
    shots = []
    for light, heavy in ((dark, bright), (bright, dark)):
        pictures = [picture.copy() for picture in moments(30, step_px=3)]
        for picture in pictures:
            picture[100:, 10:80][0::2], picture[100:, 10:80][1::2] = light, heavy
        shots += pictures
    frames, video_track = read_twice(tmp_path / "film.mkv", encode(shots, flagged=flagged))
    assert not video_track.deinterlaced.any()
    assert psnr(frames, shots) > 35
    assert scenes.measure(Span(0, 60), video_track, None).oddities == ()


def answers(combs: CombDetector, frames: list[Any]) -> list[bool]:
    return [combs.is_interlaced(frame, following) for frame, following in zip(frames, [*frames[1:], None], strict=True)]


def woven_frames(pixels: str) -> list[Any]:
    fields = moments(8, step_px=3)
    pictures = [weave(fields[n], fields[n + 1]) for n in (0, 2, 4)]
    return [av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pixels) for picture in pictures]


def test_a_repeated_frame_is_what_the_one_before_was() -> None:
    first, second, third = woven_frames("yuv420p")
    assert answers(CombDetector(search=True), [first, second, second, second, third, third]) == [True] * 6


def test_films_of_more_than_31_frames_a_second_are_not_searched() -> None:
    frames = woven_frames("yuv422p10le")
    assert answers(CombDetector(search=True), frames) == [True] * 3, "10-bit frames are searched too"
    assert answers(CombDetector(search=False), frames) == [False] * 3
