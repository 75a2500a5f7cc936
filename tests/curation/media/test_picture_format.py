"""Frames come upright and in square pixels, whatever the container says of them, in every reader alike."""

import gc
import io
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.picture_format import credible_pixel_aspect, display_size
from avf_curation.media.preview import PreviewConfig, input_preview
from avf_curation.media.tone_mapping import is_convertible
from avf_curation.media.types import Bytes, PictureRun, TimeRange, VideoTrack
from avf_curation.pipeline.screening import screen_shots
from avf_curation.stages import scenes
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

DEFAULTS = make_recipe().defaults
CONFIG = DEFAULTS.media
ONE = 1 << 16
# The display matrix (a, b, c, d) of each orientation, and the same on an array, by the names of EXIF's eight values.
ORIENTATIONS = {
    "1 as stored": ((ONE, 0, 0, ONE), lambda image: image),
    "2 mirrored": ((-ONE, 0, 0, ONE), lambda image: image[:, ::-1]),
    "3 half turn": ((-ONE, 0, 0, -ONE), lambda image: image[::-1, ::-1]),
    "4 upside down mirrored": ((ONE, 0, 0, -ONE), lambda image: image[::-1]),
    "5 transposed": ((0, ONE, ONE, 0), lambda image: np.swapaxes(image, 0, 1)),
    "6 quarter turn clockwise": ((0, ONE, -ONE, 0), lambda image: np.rot90(image, -1)),
    "7 transposed the other way": ((0, -ONE, -ONE, 0), lambda image: np.swapaxes(image[::-1, ::-1], 0, 1)),
    "8 quarter turn anticlockwise": ((0, -ONE, ONE, 0), lambda image: np.rot90(image)),
}


def corner_picture(width: int = 96, height: int = 64) -> Bytes:
    """Return a picture in which each corner has its own grey, so that all eight orientations differ."""
    image = np.full((height, width, 3), 120, np.uint8)
    image[:24, :32], image[:24, -32:], image[-24:, :32], image[-24:, -32:] = 20, 70, 170, 230
    return image


def encode(
    images: list[Bytes],
    container: str = "mp4",
    *,
    first_frame: int = 0,
    pixel_aspect: Fraction | None = None,
    codec: str = "libx264",
    b_frames: int = 0,
) -> bytes:
    """Return a video file of BGR images at 25 fps, without sound, whose first timestamp is that of `first_frame`."""
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as out:
        options = {"crf": "4", "preset": "ultrafast", "bf": str(b_frames), "b_strategy": "0"}
        stream = out.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, image in enumerate(images, first_frame):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def set_matrix(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Return an mp4 with another display matrix of its first track."""
    a, b, c, d = matrix
    offset = data.index(b"tkhd") + 4 + 40
    return data[:offset] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[offset + 36 :]


def full_size(converter: FrameConverter, frame: object) -> Bytes:
    return converter.array(frame, *display_size(frame), "bgr24")


def read_twice(path: Path) -> tuple[list[Bytes], MediaFile]:
    """Return the frames of the sequential pass, after checking that a second read has the same bytes."""
    converter = FrameConverter()
    media = MediaFile(path, CONFIG)
    first = [full_size(converter, entry.frame) for entry in media.frames()]
    second = MediaFile(path, CONFIG)
    assert media.video_track is not None
    second.resume(media.video_track, media.start_s)
    for start in (0, len(first) // 2, len(first) - 1):
        span = Span(start, len(first))
        for index, frame in enumerate(second.read(span), start):
            np.testing.assert_array_equal(full_size(converter, frame), first[index])
    second.close()
    return first, media


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_all_eight_orientations_of_a_display_matrix_are_upright(tmp_path: Path, name: str) -> None:
    matrix, transform = ORIENTATIONS[name]
    picture = corner_picture()
    path = tmp_path / "film.mp4"
    path.write_bytes(set_matrix(encode([picture] * 8), matrix))
    frames, media = read_twice(path)
    upright = transform(picture)
    assert frames[0].shape == upright.shape
    assert np.abs(frames[0].astype(int) - upright).mean() < 3
    assert media.video_track is not None
    assert (media.video_track.pictures[0].height_px, media.video_track.pictures[0].width_px) == upright.shape[:2]
    preview = input_preview(path, None, TimeRange(0, 0.2), CONFIG, PreviewConfig())
    np.testing.assert_array_equal(preview.frames_THWC[0], frames[0])
    media.close()


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_orientation_of_a_photograph_is_that_of_its_exif(tmp_path: Path, name: str) -> None:
    """A folder of photographs whose EXIF says how the camera was held."""
    value = int(name[0])
    _, transform = ORIENTATIONS[name]
    picture = corner_picture()
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, value, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    for index in range(3):
        (tmp_path / f"{index:03d}.jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    frames, media = read_twice(tmp_path)
    assert np.abs(frames[0].astype(int) - transform(picture)).mean() < 3
    media.close()


@pytest.mark.parametrize(
    ("container", "stored", "aspect", "shown"),
    [
        ("mp4", (720, 576), Fraction(64, 45), (1024, 576)),
        ("mpegts", (720, 576), Fraction(16, 15), (768, 576)),
        ("matroska", (360, 270), Fraction(4, 3), (480, 270)),
        ("mp4", (720, 480), Fraction(8, 9), (640, 480)),
    ],
)
def test_anamorphic_pictures_come_in_square_pixels(
    tmp_path: Path, container: str, stored: tuple[int, int], aspect: Fraction, shown: tuple[int, int]
) -> None:
    """A circle stays a circle, and the record has the size that a player shows."""
    disc = np.zeros((shown[1], shown[0], 3), np.uint8)
    cv2.circle(disc, (shown[0] // 2, shown[1] // 2), 100, (255, 255, 255), -1)
    squeezed = np.asarray(cv2.resize(disc, stored, interpolation=cv2.INTER_AREA), np.uint8)
    path = tmp_path / "film.bin"
    path.write_bytes(encode([squeezed] * 3, container, pixel_aspect=aspect))
    frames, media = read_twice(path)
    white = frames[1][..., 1] > 128
    assert frames[1].shape[:2] == shown[::-1]
    assert abs(int(white.any(0).sum()) - int(white.any(1).sum())) <= 3
    assert media.video_track is not None
    (picture,) = media.video_track.pictures
    assert (picture.width_px, picture.height_px) == shown
    (oddity,) = scenes.measure(Span(0, 3), media.video_track, None).oddities
    assert f"the picture is {shown[0]} x {shown[1]}" in oddity
    small, scale = FrameConverter().long_side(next(MediaFile(path, CONFIG).frames()).frame, 128, "gray")
    assert small.shape[1] / small.shape[0] == pytest.approx(shown[0] / shown[1], rel=0.01)
    assert scale == pytest.approx(128 / shown[0])
    media.close()


WIDE, NARROW = Fraction(32, 27), Fraction(8, 9)  # of pixels of 96 x 64, shown as 16:9 and as 4:3


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 3), ("mpeg2video", 2)])
@pytest.mark.parametrize("aspects", [(WIDE, NARROW), (NARROW, WIDE)])
def test_each_frame_has_the_shape_of_its_own_pixels_where_it_changes(
    tmp_path: Path, codec: str, b_frames: int, aspects: tuple[Fraction, Fraction]
) -> None:
    dark, bright = np.full((64, 96, 3), 40, np.uint8), np.full((64, 96, 3), 200, np.uint8)
    (tmp_path / "film.ts").write_bytes(
        b"".join(
            encode(
                [image] * 20,
                "mpegts",
                first_frame=first,
                pixel_aspect=aspect,
                codec=codec,
                b_frames=b_frames,
            )
            for image, first, aspect in zip((dark, bright), (0, 20), aspects, strict=True)
        )
    )
    images, media = read_twice(tmp_path / "film.ts")
    assert media.video_track is not None
    change = next(n for n, image in enumerate(images) if image.mean() > 120)
    assert change in (20, 21)  # the encoder's delay may lie between the two
    runs = [(run.start_frame, run.pixel_aspect) for run in media.video_track.pictures]
    assert [start for start, _ in runs] == [0, change]
    assert [aspect for _, aspect in runs] == pytest.approx([float(aspect) for aspect in aspects])


def test_pixel_aspects_that_nobody_can_mean_are_not_believed() -> None:
    assert credible_pixel_aspect(None, Fraction(0), Fraction(4, 3)) == pytest.approx(4 / 3)
    assert credible_pixel_aspect(Fraction(1000, 1)) == 1.0
    assert credible_pixel_aspect(Fraction(2700, 2701)) == 1.0
    assert credible_pixel_aspect(None) == 1.0


@pytest.mark.parametrize("sizes", [((320, 180), (160, 90)), ((160, 90), (240, 136)), ((160, 90), (90, 160))])
def test_a_shot_ends_where_the_size_of_the_picture_changes(tmp_path: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    """As in recordings of video calls: each shot has one size, which its crop window and its measures refer to."""
    picture = corner_picture(320, 180)
    parts = [
        encode([np.asarray(cv2.resize(picture, size), np.uint8)] * 30, "mpegts", first_frame=30 * number)
        for number, size in enumerate(sizes)
    ]
    path = tmp_path / "call.ts"
    path.write_bytes(b"".join(parts))
    with MediaFile(path, CONFIG) as media:
        video_track, shots = screen_shots(media, DEFAULTS.scenes, DEFAULTS.faces, finder=None)
    assert [shot.span for shot in shots] == [Span(0, 30), Span(30, 60)]
    assert video_track.pictures == tuple(
        PictureRun(start_frame=30 * number, width_px=width, height_px=height)
        for number, (width, height) in enumerate(sizes)
    )
    (before, after) = (f"{width} x {height}" for width, height in sizes)
    assert scenes.measure(Span(30, 60), video_track, None).oddities == (
        f"The shot begins where the picture changes its size from {before} to {after} pixels.",
    )
    assert scenes.measure(Span(0, 30), video_track, None).oddities == (
        f"The shot ends where the picture changes its size from {before} to {after} pixels.",
    )
    assert scenes.measure(Span(5, 25), video_track, None).oddities == ()
    frames, media = read_twice(path)
    assert [frame.shape[:2] for frame in (frames[29], frames[30])] == [size[::-1] for size in sizes]
    media.close()
    preview = input_preview(path, None, TimeRange(0, 2.4), CONFIG, PreviewConfig())
    assert {frame.shape for frame in preview.frames_THWC} == {(*sizes[0][::-1], 3)}


def test_what_changes_with_the_picture_is_named() -> None:
    def oddities(**change: Any) -> tuple[str, ...]:
        first = PictureRun(start_frame=0, width_px=96, height_px=64)
        track = VideoTrack(frames=60, pts=np.arange(60), pictures=(first, replace(first, start_frame=30, **change)))
        return scenes.measure(Span(0, 30), track, None).oddities

    assert oddities(colors="PQ") == ("The shot ends where the picture changes its colours from BT.709 to PQ.",)
    assert oddities(pixel_aspect=1.5) == ("The shot ends where the picture changes the shape of its stored pixels.",)


def test_parts_of_a_call_may_overlap_by_a_few_frames(tmp_path: Path) -> None:
    """The later frames of both parts that have no place are not shown; nothing else is lost."""
    picture = corner_picture(320, 180)
    small = np.asarray(cv2.resize(picture, (160, 90)), np.uint8)
    path = tmp_path / "call.ts"
    path.write_bytes(encode([picture] * 60, "mpegts") + encode([small] * 60, "mpegts", first_frame=58))
    frames, media = read_twice(path)
    media.close()
    assert [frame.shape[0] for frame in frames] == [180] * 60 + [90] * 58
    assert media.video_track is not None
    assert all(span.start_frame >= 58 and span.stop_frame <= 60 for span in media.video_track.damaged)


@pytest.mark.parametrize(
    ("codec", "pixels", "container"),
    [
        ("libx264", "yuv422p10le", "mp4"),
        ("libx264", "yuv444p10le", "mp4"),
        ("libx264", "yuvj420p", "mp4"),
        ("prores_ks", "yuv422p10le", "mov"),
        ("prores_ks", "yuva444p10le", "mov"),
        ("mjpeg", "yuvj444p", "avi"),
        ("ffv1", "gbrp10le", "matroska"),
        ("ffv1", "yuva420p", "matroska"),
        ("rawvideo", "uyvy422", "avi"),
    ],
)
def test_each_pixel_format_shows_the_same_picture(tmp_path: Path, codec: str, pixels: str, container: str) -> None:
    """More bits, more colour, full range or an alpha channel, which is not looked at: at least 36 dB in every frame."""
    pictures = [cv2.GaussianBlur(np.roll(corner_picture(), 4 * number, axis=1), (0, 0), 2) for number in range(4)]
    pictures = [picture * np.array([1, 0.9, 0.7]) for picture in pictures]
    path = tmp_path / "film.bin"
    with av.open(str(path), "w", format=container) as out:
        options = {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {"qmin": "1", "qmax": "2"}
        stream = out.add_stream(codec, rate=25, options=options if codec in ("libx264", "mjpeg") else {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        stream.codec_context.color_range = 2 if "j4" in pixels else 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames, media = read_twice(path)
    media.close()
    for frame, picture in zip(frames, pictures, strict=True):
        assert 10 * np.log10(255**2 / np.mean((frame - picture) ** 2)) > 36


def test_a_frame_leaves_memory_without_a_garbage_collection() -> None:
    """A frame of 4K video has 12 MB, and the collector runs only every few hundred frames."""

    def frames_alive() -> int:
        return sum(type(each) is av.VideoFrame for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = frames_alive()
        for _ in range(5):
            frame = av.VideoFrame(64, 64, "yuv420p")
            assert display_size(frame) == (64, 64)
            assert is_convertible(frame)
        del frame
        assert frames_alive() == before
    finally:
        gc.enable()
