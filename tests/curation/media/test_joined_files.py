"""Files that were joined byte by byte go on where their clock starts again, with picture and sound together."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from avf_curation.media.audio import _place_blocks
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, MediaError, TimeRange, VideoTrack
from avf_curation.stages import scenes
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.numbered_video import make_numbered_video, read_number

CONFIG = make_recipe().defaults.media
REFERENCE = {"qmin": "2", "qmax": "2", "bf": "2"}


@pytest.mark.parametrize(
    ("container", "codec"), [("mpeg", "mpeg2video"), ("mpegts", "mpeg2video"), ("mpegts", "libx264")]
)
def test_the_second_recording_follows_the_first(tmp_path: Path, container: str, codec: str) -> None:
    options = REFERENCE if codec == "mpeg2video" else {"bf": "2", "preset": "veryfast"}
    parts = [
        make_numbered_video(
            range(50), container=container, codec=codec, options=options, beeps_s=[1.0], first_number=first
        )
        for first in (0, 100)
    ]
    (tmp_path / "joined").write_bytes(b"".join(parts))
    with MediaFile(tmp_path / "joined", CONFIG) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        track = media.video_track
        assert track is not None
        audio = media.audio(track.frames)
        again = [read_number(frame) for frame in media.read(Span(0, len(numbers)))]
        assert [read_number(frame) for frame in media.read(Span(60, 70))] == numbers[60:70]
    assert again == numbers
    # The timeline against the frames and samples that went in: 50 + 50 frames, 2 x 2 s of sound.
    assert set(numbers) == {*range(50), *range(100, 150)}
    assert abs(track.frames - 100) <= 2
    (join,) = track.joins
    (oddity,) = scenes.measure(Span(0, join), track, None).oddities
    assert "joined from 2 recordings" in oddity
    assert numbers[join - 1] < 50 <= numbers[join]
    assert audio is not None
    assert audio.missing_frames(Span(0, track.frames)) < 3
    loud = np.flatnonzero(np.abs(audio.samples.astype(int)) > 3000)
    starts = np.asarray([loud[0], *loud[1:][np.diff(loud) > 3200]]) / 16_000
    pictures = np.asarray([numbers.index(25), numbers.index(125)]) / 25
    np.testing.assert_allclose(starts, pictures, atol=0.021)


def test_sound_over_other_sound_fails_the_input_and_a_little_of_it_does_not() -> None:
    def place(*starts_s: float) -> AudioTrack:
        blocks = [(start_s, 0, np.full(16_000, n + 1, np.int16)) for n, start_s in enumerate(starts_s)]
        return _place_blocks(iter(blocks), 0.0, 75)

    assert place(0.0, 0.9, 1.9).covered == (Span(0, 46_400),)
    assert place(0.0, 1.5).covered == (Span(0, 16_000), Span(24_000, 40_000))
    with pytest.raises(MediaError) as caught:
        place(0.0, 1.0, 0.5)
    assert caught.value.kind == "unplaced_sound"


def record(first: int, frames: int = 100, container: str = "mpegts", **more: Any) -> bytes:
    """Return a recording with a beep at each second, whose first picture shows a number."""
    defaults: dict[str, Any] = {"codec": "mpeg2video", "options": REFERENCE, "beeps_s": [1.0, 2.0, 3.0]}
    times = more.pop("times", range(frames))
    return make_numbered_video(times, container=container, first_number=first, **(defaults | more))


def read_joined(path: Path, *recordings: bytes) -> tuple[list[int], VideoTrack, list[float]]:
    """Return the number that each index shows, the track, and the seconds at which beeps begin."""
    path.write_bytes(b"".join(recordings))
    with MediaFile(path, CONFIG) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        track = media.video_track
        assert track is not None
        assert [read_number(frame) for frame in media.read(Span(0, len(numbers)))] == numbers
        audio = media.audio(track.frames)
    assert audio is not None
    loud = np.flatnonzero(np.abs(audio.samples.astype(int)) > 3000)
    return numbers, track, [float(n) / 16_000 for n in (loud[0], *loud[1:][np.diff(loud) > 3200])]


def seconds_of(numbers: list[int], *shown: int) -> list[float]:
    return [numbers.index(number) / 25 for number in shown]


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
def test_a_recording_begins_after_the_longer_of_picture_and_sound(tmp_path: Path, container: str) -> None:
    first = record(0, container=container, beeps_s=[1.0], sound_s=2.0)
    second = record(100, container=container, beeps_s=[1.0])
    numbers, _, beeps_s = read_joined(tmp_path / "silent_end", first, second)
    np.testing.assert_allclose(beeps_s, seconds_of(numbers, 25, 125), atol=0.021)
    first = record(0, frames=50, container=container, beeps_s=[1.0, 3.0], sound_s=4.0)
    numbers, track, beeps_s = read_joined(tmp_path / "dark_end", first, second)
    expected = [1.0, 3.0, numbers.index(125) / 25]
    np.testing.assert_allclose(beeps_s, expected, atol=0.021)
    assert 4.0 <= numbers.index(100) / 25 < 4.1
    assert sum(gap.frames for gap in track.gaps) >= 30, "nothing is shown while the first sound goes on"


# The container, the rates of the two recordings, and how far a beep of the second one may be from its picture.
@pytest.mark.parametrize(
    ("container", "rates_hz", "second_s"),
    [
        ("mpegts", (44_100, 22_050), 0.031),
        ("mpegts", (16_000, 48_000), 0.031),
        ("mpeg", (44_100, 48_000), 0.031),
        ("mpeg", (44_100, 22_050), 0.06),  # the decoder gives the first frame the old rate, and no time says otherwise
        ("mpeg", (16_000, 48_000), 0.06),
    ],
)
def test_recordings_with_other_sample_rates_are_joined(
    tmp_path: Path, container: str, rates_hz: tuple[int, int], second_s: float
) -> None:
    first, second = (record(100 * n, container=container, sound_rate_hz=rate) for n, rate in enumerate(rates_hz))
    numbers, track, beeps_s = read_joined(tmp_path / "rates", first, second)
    assert track.recordings == 2
    assert len(beeps_s) == 6
    np.testing.assert_allclose(beeps_s[:3], seconds_of(numbers, 25, 50, 75), atol=0.001)
    np.testing.assert_allclose(beeps_s[3:], seconds_of(numbers, 125, 150, 175), atol=second_s)


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
def test_a_recording_without_sound_or_picture_gets_none_of_another(tmp_path: Path, container: str) -> None:
    first, third = (record(number, container=container, beeps_s=[1.0]) for number in (0, 200))
    mute = record(100, frames=50, container=container, beeps_s=None)
    numbers, track, beeps_s = read_joined(tmp_path / "mute", first, mute, third)
    assert track.recordings == 3
    np.testing.assert_allclose(beeps_s, seconds_of(numbers, 25, 225), atol=0.021)
    assert {*range(100, 150)} <= set(numbers)
    if container == "mpeg":  # in a transport stream, sound alone gets the number of the pictures' stream
        dark = make_numbered_video((), container=container, beeps_s=[1.0], sound_s=2.0)
        numbers, track, beeps_s = read_joined(tmp_path / "dark", first, dark, third)
        np.testing.assert_allclose(beeps_s, [1.0, 5.0, numbers.index(225) / 25], atol=0.05)
        assert 5.9 < numbers.index(200) / 25 < 6.1


@pytest.mark.parametrize("bit", [14, 15, 17, 24, 32])
@pytest.mark.parametrize(("stream_id", "which"), [(0xE0, "both"), (0xE0, "pts"), (0xE0, "dts"), (0xC0, "both")])
def test_a_flipped_bit_in_a_timestamp_moves_nothing_else(tmp_path: Path, stream_id: int, which: str, bit: int) -> None:
    data = record(0)
    clean, _, clean_beeps_s = read_joined(tmp_path / "clean.ts", data)
    packets = (12, 22, 32)  # a reference and both B-pictures of a group
    flipped = with_timestamps(data, stream_id, lambda n, ticks: ticks ^ (1 << bit) if n in packets else ticks, which)
    numbers, track, beeps_s = read_joined(tmp_path / "flipped.ts", flipped)
    assert numbers == clean
    np.testing.assert_allclose(beeps_s, clean_beeps_s, atol=0.002)
    assert track.recordings == 1
    assert not track.damaged


@pytest.mark.parametrize("bit", [5, 8, 11])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_small_error_in_a_timestamp_of_the_sound_moves_nothing(tmp_path: Path, number: int, bit: int) -> None:
    data = record(0)
    _, _, clean_beeps_s = read_joined(tmp_path / "clean.ts", data)
    flipped = with_timestamps(data, 0xC0, lambda n, ticks: ticks ^ (1 << bit) if n == number else ticks)
    _, _, beeps_s = read_joined(tmp_path / "flipped.ts", flipped)
    np.testing.assert_allclose(beeps_s, clean_beeps_s, atol=1e-4)


def test_a_sound_clock_that_jumps_alone_makes_its_stretch_unusable(tmp_path: Path) -> None:
    # Half a minute later than recorded, so that no timestamp falls below zero.
    data = with_timestamps(record(0), 0xE0, lambda number, ticks: ticks + 2_700_000)
    data = with_timestamps(data, 0xC0, lambda number, ticks: ticks + 2_700_000)
    late = with_timestamps(data, 0xC0, lambda number, ticks: ticks - 90_000 * (number >= 12))
    numbers, track, _ = read_joined(tmp_path / "late.ts", late)
    (span,) = track.damaged
    assert span.stop_frame == len(numbers) == 100
    assert span.start_frame < 25
    clean, _, clean_beeps_s = read_joined(tmp_path / "data.ts", data)
    back = with_timestamps(data, 0xC0, lambda number, ticks: ticks - 90_000 * (12 <= number < 60))
    numbers, track, beeps_s = read_joined(tmp_path / "back.ts", back)
    assert numbers == clean
    assert not track.damaged
    np.testing.assert_allclose(beeps_s, clean_beeps_s, atol=0.002, err_msg="the clock goes on a second later")
    # A recording that follows is whole again.
    numbers, track, beeps_s = read_joined(tmp_path / "more.ts", late, record(100, beeps_s=[1.0]))
    (span,) = track.damaged
    assert span.stop_frame <= numbers.index(126)
    assert abs(beeps_s[-1] - numbers.index(125) / 25) < 0.021


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_nothing_is_damaged_where_segments_of_a_recording_follow_each_other(tmp_path: Path, codec: str) -> None:
    options = {"bf": "2", "g": "25"} | ({"preset": "veryfast"} if codec == "libx264" else {"qmax": "2"})
    data = record(0, codec=codec, options=options)
    path = tmp_path / "whole.ts"
    path.write_bytes(data)
    segments = [io.BytesIO() for _ in range(4)]
    with av.open(str(path)) as source, contextlib.ExitStack() as stack:
        outs = [stack.enter_context(av.open(segment, "w", format="mpegts")) for segment in segments]
        streams = [[out.add_stream_from_template(stream) for stream in source.streams] for out in outs]
        key_frames = -1
        for packet in source.demux():
            if packet.size:
                key_frames += packet.is_keyframe and packet.stream.type == "video"
                number = min(max(key_frames, 0), 3)
                packet.stream = streams[number][packet.stream_index]
                outs[number].mux(packet)
    numbers, track, beeps_s = read_joined(tmp_path / "joined.ts", *(segment.getvalue() for segment in segments))
    assert set(numbers) == set(range(100))
    np.testing.assert_allclose(beeps_s, seconds_of(numbers, 25, 50, 75), atol=0.021)
    assert track.damaged == ()
    if codec == "mpeg2video":  # whose pictures fill several packets of the transport stream: a lost one counts
        holed = b"".join(segment.getvalue() for segment in segments)
        middle = len(holed) // 188 // 2
        lost = next(n for n in range(middle, middle + 500) if holed[n * 188 + 1 : n * 188 + 3] == b"\1\0")
        _, track, _ = read_joined(tmp_path / "holed.ts", holed[: lost * 188] + holed[lost * 188 + 188 :])
        assert track.damaged


def test_a_recording_in_other_streams_of_the_file_is_missing_and_not_forgotten(tmp_path: Path) -> None:
    second = record(100, container_options={"mpegts_start_pid": "0x200"})
    numbers, track, _ = read_joined(tmp_path / "streams.ts", record(0), second)
    assert set(numbers) == set(range(100))
    assert track.recordings == 2
    assert abs(track.frames - 200) <= 2
    assert track.decoded_frames <= 102


@pytest.mark.parametrize("bit", [20, 30, 32])
@pytest.mark.parametrize("number", [0, 97])
def test_a_wrong_time_of_the_first_or_last_picture_moves_nothing(tmp_path: Path, number: int, bit: int) -> None:
    data = record(0)
    flipped = with_timestamps(data, 0xE0, lambda n, ticks: ticks ^ (1 << bit) if n == number else ticks, "pts")
    numbers, track, beeps_s = read_joined(tmp_path / "flipped.ts", flipped)
    assert abs(len(numbers) - 100) <= 1
    assert set(numbers) >= set(range(1, 99))
    np.testing.assert_allclose(beeps_s, seconds_of(numbers, 25, 50, 75), atol=0.021)
    assert track.recordings == 1


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_slow_and_uneven_pictures_are_no_restarts(tmp_path: Path, container: str) -> None:
    uneven = [n * 5 + (3 if n % 5 == 4 else 0) for n in range(8)]  # 5 a second, each fifth 120 ms late
    bursts = [*range(40, 55), *range(60, 90, 6), *range(90, 105), *range(110, 140, 6)]
    times = uneven + bursts
    codec = "mpeg4" if container == "matroska" else "mpeg2video"
    data = record(0, 1, container=container, codec=codec, times=times, options={"qmax": "3"})
    numbers, track, beeps_s = read_joined(tmp_path / "film", data)
    assert (track.recordings, track.repaired_times, track.is_seekable, track.damaged) == (1, 0, True, ())
    shown = [numbers.index(number) for number in range(len(times))]
    assert shown == times
    np.testing.assert_allclose(beeps_s, [1.0, 2.0, 3.0], atol=0.021)


def test_a_short_recording_in_front_is_no_wrong_timestamp(tmp_path: Path) -> None:
    numbers, track, beeps_s = read_joined(
        tmp_path / "short.ts", record(0, frames=7, beeps_s=[0.04]), record(100, beeps_s=[1.0])
    )
    assert {*range(7), *range(100, 200)} <= set(numbers)
    assert track.recordings == 2
    assert not track.damaged
    np.testing.assert_allclose(beeps_s, [0.04, numbers.index(125) / 25], atol=0.021)


def test_ranges_behind_a_clock_that_jumped_alone_are_not_used_either(tmp_path: Path) -> None:
    late = with_timestamps(record(0), 0xE0, lambda number, ticks: ticks + 2_700_000)
    late = with_timestamps(late, 0xC0, lambda number, ticks: ticks + 2_700_000 - 90_000 * (number >= 12))
    (tmp_path / "late.ts").write_bytes(late)
    with MediaFile(tmp_path / "late.ts", CONFIG, None, TimeRange(2.4, 3.6)) as media:
        assert len(list(media.frames())) == 30
        assert media.video_track is not None
        assert media.video_track.damaged == (Span(0, 30),)


def test_streams_that_cannot_be_read_and_endless_packets_do_not_stop_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = bytearray(record(100))
    for packet in range(0, len(second), 188):  # streams 0x100 and 0x101 become 0x300 and 0x301, which no table names
        if (second[packet + 1] & 0x1F) << 8 | second[packet + 2] in (0x100, 0x101):
            second[packet + 1] |= 2
    numbers, _, _ = read_joined(tmp_path / "unnamed.ts", record(0), bytes(second))
    assert set(numbers) == set(range(100))
    monkeypatch.setattr("avf_curation.media.packet_table.MAX_PACKETS", 50)
    with pytest.raises(MediaError, match="more than 50 packets"):
        read_joined(tmp_path / "many.ts", record(0))


@pytest.mark.parametrize("container", ["mp4", "flv", "asf"])
def test_a_recording_that_no_player_finds_behind_the_first_is_named(tmp_path: Path, container: str) -> None:
    codec = "flv" if container == "flv" else "mpeg4"
    noise = np.random.default_rng(0)
    parts = [make_noise(container, codec, noise) for _ in range(2)]
    for number, path in enumerate((tmp_path / "whole", tmp_path / "joined")):
        path.write_bytes(b"".join(parts[: number + 1]))
        with MediaFile(path, CONFIG) as media:
            frames = len(list(media.frames()))
            track = media.video_track
        assert track is not None
        assert frames == 25
        if number == 0:
            assert track.unread_bytes == 0
        else:
            assert 0.8 * len(parts[1]) < track.unread_bytes <= 1.2 * len(parts[1])
            assert any("bytes of the file were not read" in text for text in oddities(track))


def oddities(track: VideoTrack) -> tuple[str, ...]:
    return scenes.measure(Span(0, 10), track, None).oddities


def make_noise(container: str, codec: str, noise: np.random.Generator) -> bytes:
    """Return 25 pictures of noise, about 20 kB each."""
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as out:
        video = out.add_stream(codec, rate=25, options={"qmin": "2", "qmax": "4", "b": "8000000"})
        video.width, video.height, video.pix_fmt = 256, 192, "yuv420p"
        for _ in range(25):
            picture = noise.integers(0, 255, (192, 256, 3)).astype(np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(video.encode(None))
    return sink.getvalue()


def with_timestamps(data: bytes, stream_id: int, change: Callable[[int, int], int], which: str = "both") -> bytes:
    """Return a transport stream whose timestamps (33 bits) of one stream are changed by their number in it.

    Args:
        which: "pts" or "dts" changes these alone where a packet has both.
    """
    out = bytearray(data)
    number = 0
    for packet in range(0, len(out), 188):
        start = packet + 4 + (1 + out[packet + 4] if out[packet + 3] & 0x20 else 0)
        if not out[packet + 1] & 0x40 or out[start : start + 3] != b"\0\0\1" or out[start + 3] != stream_id:
            continue
        fields = [start + 9, start + 14] if out[start + 7] >> 6 == 3 else [start + 9]
        if len(fields) == 2 and which != "both":
            fields = [fields[which == "dts"]]
        for field in fields:
            d = out[field : field + 5]
            ticks = (d[0] >> 1 & 7) << 30 | d[1] << 22 | (d[2] >> 1) << 15 | d[3] << 7 | d[4] >> 1
            ticks = change(number, ticks) % (1 << 33)
            out[field] = d[0] & 0xF1 | (ticks >> 30 & 7) << 1
            out[field + 1 : field + 3] = bytes((ticks >> 22 & 255, (ticks >> 15 & 127) << 1 | 1))
            out[field + 3 : field + 5] = bytes((ticks >> 7 & 255, (ticks & 127) << 1 | 1))
        number += 1
    return bytes(out)
