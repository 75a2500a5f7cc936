"""Data that were overwritten or never written are damage, also where the decoder takes them."""

from pathlib import Path

import av
import pytest
from avf_curation.media.packet_syntax import has_zero_fill, has_zeros_in_units
from avf_shards.timeline import Span
from support.noisy_film import (
    X264,
    X265,
    damaged_indices,
    frames_by_time,
    noisy_film,
    ruined_pictures,
    spoil,
    video_packets,
)


def overwrite(path: Path, number: int, filling: bytes) -> int:
    """Overwrite the middle of a video packet in a file. Return when its picture is presented, in frames."""
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(film.streams.video[0]) if packet.size]
    data, packet = bytearray(path.read_bytes()), bytes(packets[number])
    start = data.index(packet) + len(packet) // 2
    data[start : start + len(filling)] = filling
    path.write_bytes(data)
    return round(float(packets[number].pts * packets[number].time_base) * 25)


@pytest.mark.parametrize("filling", [bytes(400), bytes(range(1, 254)) * 2], ids=["zeros", "other bytes"])
def test_motion_jpeg_that_the_decoder_would_fill_in_is_damaged(tmp_path: Path, filling: bytes) -> None:
    data = noisy_film("avi", "mjpeg", {}, "yuvj420p")
    clean, track = frames_by_time(tmp_path / "film.avi", data)
    assert (len(clean), track.damaged) == (80, ())
    overwrite(tmp_path / "film.avi", 44, filling)
    pictures, track = frames_by_time(tmp_path / "film.avi", (tmp_path / "film.avi").read_bytes())
    assert track.damaged == (Span(44, 45),)
    assert ruined_pictures(pictures, clean) == [44]


@pytest.mark.parametrize(("codec", "container"), [("libx264", "mp4"), ("libx265", "matroska")])
def test_zeros_in_a_slice_are_damage_though_the_decoder_takes_them(tmp_path: Path, codec: str, container: str) -> None:
    options = X264 if codec == "libx264" else {"x265-params": "keyint=40:bframes=0:log-level=none", "preset": "fast"}
    clean, track = frames_by_time(tmp_path / "film", noisy_film(container, codec, options))
    assert (len(clean), track.damaged) == (80, ())
    index = overwrite(tmp_path / "film", 50, bytes(300))
    pictures, track = frames_by_time(tmp_path / "film", (tmp_path / "film").read_bytes())
    assert 50 in ruined_pictures(pictures, clean)
    assert index == 50
    assert track.damaged == (Span(50, 80),)


@pytest.mark.parametrize(("codec", "options"), [("libx264", X264), ("libx265", X265)])
def test_zeros_in_a_stream_with_start_codes_are_damage(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    film = noisy_film("mpegts", codec, options)
    clean, track = frames_by_time(tmp_path / "film.ts", film)
    assert (len(clean), track.damaged) == (80, ())
    count = len(video_packets(film)[0])
    for eighth in range(1, 7):
        pictures, track = frames_by_time(tmp_path / "spoilt.ts", spoil(film, count * eighth // 8))
        ruined = ruined_pictures(pictures, clean)
        assert ruined
        assert set(ruined) <= damaged_indices(track)
    assert not has_zeros_in_units(memoryview(b"\0\0\0\1\x65\x88\0\0\0\0\0\1\x41\x88\0\0\3\0\0\0"))
    assert has_zeros_in_units(memoryview(b"\0\0\0\1\x65\x88\0\0\0\2\x88"))


def test_zeros_between_units_and_at_their_end_are_no_damage() -> None:
    def packet(*units: bytes) -> memoryview:
        return memoryview(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))

    assert not has_zero_fill(packet(b"\x65\x88\x01\0\0", b"\x41" + bytes(9)), "h264", 4)
    assert not has_zero_fill(packet(b"\x06" + bytes(9) + b"\x80", b"\x65\x88"), "h264", 4), "a message is no slice"
    assert has_zero_fill(packet(b"\x06\x01\x80", b"\x41\x88\0\0\0\x04"), "h264", 4)
    assert has_zero_fill(packet(b"\x02\x01" + bytes(60)), "hevc", 4)
