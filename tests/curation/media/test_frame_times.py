"""Each picture is shown at its own time, whatever container, codec and rate it comes in, and reads the same twice."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_placement import held_indices, round_to_frames, unseen_span
from avf_curation.media.types import TimeRange
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.numbered_video import make_numbered_video, read_number

CONFIG = make_recipe().defaults.media
B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "30", "preset": "veryfast"}


def open_media(tmp_path: Path, data: bytes) -> MediaFile:
    (tmp_path / "film").write_bytes(data)
    return MediaFile(tmp_path / "film", CONFIG)


def shown_numbers(media: MediaFile) -> list[int]:
    """The number in the picture at each index; the second read must show the same pictures."""
    pictures = [entry.frame.to_ndarray(format="gray") for entry in media.frames()]
    track = media.video_track
    assert track is not None
    for span in (Span(0, len(pictures)), Span(len(pictures) // 2, len(pictures)), Span(3, 5)):
        again = [frame.to_ndarray(format="gray") for frame in media.read(span)]
        np.testing.assert_array_equal(np.stack(again), np.stack(pictures[span.start_frame : span.stop_frame]))
    return [read_number(entry) for entry in media.read(Span(0, len(pictures)))]


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("avi", "libx264", B_FRAMES),
        ("avi", "libx264", {"bf": "0"}),
        ("avi", "mpeg4", {"bf": "2", "qmin": "2", "qmax": "2"}),
        ("matroska", "libx264", B_FRAMES),
        ("matroska", "libx264", B_FRAMES | {"allow_raw_vfw": "1"}),
        ("mpegts", "libx264", B_FRAMES),
        ("mpeg", "mpeg2video", {"bf": "2", "qmin": "2", "qmax": "2"}),
        ("flv", "libx264", B_FRAMES),
        ("h264", "libx264", B_FRAMES),
    ],
)
def test_reordered_frames_come_once_each_in_order(
    tmp_path: Path, container: str, codec: str, options: dict[str, str]
) -> None:
    with open_media(
        tmp_path, make_numbered_video(range(70), container=container, codec=codec, options=options)
    ) as media:
        assert shown_numbers(media) == list(range(70))
        assert media.video_track is not None
        assert media.video_track.frames == 70


@pytest.mark.parametrize(
    ("codec", "b_frames"), [("libx264", 0), ("libx264", 3), ("mpeg4", 0), ("mpeg4", 2), ("mpeg2video", 2)]
)
def test_the_sound_of_avi_does_not_wait_for_the_frames_that_the_decoder_holds_back(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    options = {"bf": str(b_frames), "b_strategy": "0"} | ({"qmin": "2", "qmax": "2"} if codec != "libx264" else {})
    data = make_numbered_video(range(75), container="avi", codec=codec, options=options, beeps_s=[1.0])
    with open_media(tmp_path, data) as media:
        shown = [read_number(entry.frame) for entry in media.frames()]
        sound = media.audio(75)
    assert sound is not None
    beep_ms = int(np.argmax(np.abs(sound.samples.astype(int)) > 3000)) / 16
    assert abs(beep_ms - 40 * shown.index(25)) < 15, "10 ms are the delay of the encoder of MPEG audio"


def test_a_video_that_is_not_the_first_stream_has_its_last_frames(tmp_path: Path) -> None:
    source = make_numbered_video(range(50), container="matroska", options=B_FRAMES, beeps_s=[1.0])
    sink = io.BytesIO()
    with av.open(io.BytesIO(source)) as film, av.open(sink, "w", format="matroska") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in reversed(film.streams)}
        for packet in film.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    with open_media(tmp_path, sink.getvalue()) as media:
        assert shown_numbers(media) == list(range(50))


def pack_b_frames(avi: bytes) -> bytes:
    """Store each B-frame in the packet before, and a placeholder in its own, as DivX 5 does."""
    start, placeholder = b"\0\0\1\xb6", b"\0\0\1\xb6\x50\x5f"
    sink = io.BytesIO()
    with av.open(io.BytesIO(avi)) as film, av.open(sink, "w", format="avi") as out:
        video = film.streams.video[0]
        stream = out.add_stream_from_template(video)
        chunks = [bytes(packet) for packet in film.demux(video) if packet.size]
        is_b = [chunk[chunk.find(start) + 4] >> 6 == 2 for chunk in chunks]
        packed = [
            placeholder if is_b[n] else chunk + (chunks[n + 1] if is_b[n + 1 : n + 2] == [True] else b"")
            for n, chunk in enumerate(chunks)
        ]
        packed[0] = packed[0].replace(start, b"\0\0\1\xb2DivX503b1393p" + start)
        for n, chunk in enumerate(packed):
            packet = av.Packet(chunk)
            packet.stream, packet.time_base, packet.dts, packet.pts = stream, video.time_base, n, n
            packet.is_keyframe = n == 0
            out.mux(packet)
    return sink.getvalue()


def test_packed_b_frames_come_once_each_in_order(tmp_path: Path) -> None:
    plain = make_numbered_video(
        range(60), container="avi", codec="mpeg4", options={"bf": "1", "b_strategy": "0", "qmin": "2", "qmax": "2"}
    )
    with open_media(tmp_path, pack_b_frames(plain)) as media:
        assert shown_numbers(media) == list(range(60))


def test_a_picture_stays_until_the_next_one_comes(tmp_path: Path) -> None:
    times = [n for n in range(60) if not 21 <= n < 30]
    with open_media(tmp_path, make_numbered_video(times, container="mp4")) as media:
        numbers = shown_numbers(media)
    assert numbers[19:32] == [19] + 10 * [20] + [21, 22], "the stutter of 0.4 s ends with the next picture"


@pytest.mark.parametrize("rate", [8, 10, 12, 15, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 48, 50, 60, 120])
def test_no_picture_is_more_than_half_a_frame_early_or_late(rate: Fraction) -> None:
    rate = Fraction(rate)
    ticks = 90_000
    times = [round(n / rate * ticks) for n in range(round(10 * rate))]
    shown: list[int] = []
    for earlier, later in zip(times, times[1:], strict=False):
        shown += [earlier] * len(held_indices(earlier, later, len(shown), 1, ticks))
    for index, time in enumerate(shown):
        later = min((t for t in times if t > time), default=None)
        early_s = time / ticks - index / 25
        assert early_s <= 0.02 + 1e-9
        if later is not None:
            assert index / 25 - later / ticks <= 0.0, "the next picture has begun"
    assert round_to_frames(times[-1] + round(ticks / rate), 1, ticks) == 250


@pytest.mark.parametrize("rate", [10, 15, Fraction(24000, 1001), 30, 50])
@pytest.mark.parametrize("container", ["matroska", "mpegts"])
def test_flash_and_beep_come_together(tmp_path: Path, rate: Fraction, container: str) -> None:
    """The picture with a number that is a multiple of the rate begins with each beep."""
    rate = Fraction(rate)
    flashes = [round(n * rate) for n in (1, 2, 3)]
    beeps_s = [float(flash / rate) for flash in flashes]
    codec = "mpeg2video" if container == "mpegts" and rate > 20 else "libx264"
    data = make_numbered_video(
        range(round(4 * rate)), container=container, codec=codec, rate=rate, options={"bf": "2"}, beeps_s=beeps_s
    )
    with open_media(tmp_path, data) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        audio = media.audio(len(numbers))
    assert audio is not None
    loud = np.flatnonzero(np.abs(audio.samples.astype(int)) > 3000)
    starts = [loud[0], *loud[1:][np.diff(loud) > 3200]]
    # Above 25 fps the picture itself may be skipped.
    shown = [min(i for i, number in enumerate(numbers) if number >= flash) for flash in flashes]
    np.testing.assert_allclose(np.asarray(starts) / 16_000, np.asarray(shown) / 25, atol=0.021)


@pytest.mark.parametrize("hole_frames", [12, 14, 19, 100])
def test_a_hole_lasts_until_the_next_picture(hole_frames: int) -> None:
    """Ticks are frames of 25 fps: picture 10 stands, the next one comes after the hole."""
    earlier, later = 10, 10 + 1 + hole_frames
    shown = held_indices(earlier, later, 10, 1, 25)
    hole = unseen_span(shown, earlier, later, 1 / 25, max_gap_s=0.5)
    assert shown.stop == later
    # A picture that would stand for longer than half of the limit is missing from then on: no stale one is left.
    assert hole == ([] if later - earlier <= 12 else [Span(17, later)])


def test_after_a_hole_the_next_picture_is_the_first_that_is_usable(tmp_path: Path) -> None:
    with open_media(tmp_path, make_numbered_video([*range(50), *range(120, 130)], container="mp4")) as media:
        frames = list(media.frames())
        assert media.video_track is not None
        (gap,) = media.video_track.gaps
    assert gap == Span(56, 120), "from half of media.max_gap_s after picture 49 on, until picture 50 comes"
    assert read_number(frames[gap.start_frame].frame) == 49
    assert read_number(frames[gap.stop_frame].frame) == 50


def with_times(data: bytes, container: str, time_of: Callable[[int], int]) -> bytes:
    """Return a video of 25 frames a second in which the time of each frame, in frames, is `time_of` its number."""
    sink = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(sink, "w", format=container) as out:
        video = source.streams.video[0]
        copy = out.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        for number, packet in enumerate(packets):
            packet.pts = time_of(round(packet.pts * packet.time_base * 25))
            packet.dts = min(number - 20, packet.pts)
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 25), copy
            out.mux(packet)
    return sink.getvalue()


@pytest.mark.parametrize("container", ["matroska", "flv", "mpegts"])
@pytest.mark.parametrize("equal", [2, 3, 5])
def test_frames_with_one_timestamp_come_once_each_in_order(tmp_path: Path, container: str, equal: int) -> None:
    data = make_numbered_video(range(90), container="matroska", options=B_FRAMES)
    with open_media(tmp_path, with_times(data, container, lambda number: number // equal * equal)) as media:
        assert shown_numbers(media) == list(range(90))
    with MediaFile(tmp_path / "film", CONFIG, None, TimeRange(1.2, 3.0)) as part:
        assert shown_numbers(part) == list(range(30, 75))


def test_frames_with_one_timestamp_before_a_hole_come_at_the_declared_rate(tmp_path: Path) -> None:
    data = make_numbered_video(range(60), container="matroska", options=B_FRAMES)
    times = with_times(data, "matroska", lambda number: 28 if number in (28, 29) else number + 50 * (number >= 30))
    with open_media(tmp_path, times) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
    assert numbers[27:31] == [27, 28, 29, 29]
    assert numbers[80:] == list(range(30, 60))
