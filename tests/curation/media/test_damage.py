"""Damage lasts to the next clean key frame; healthy oddities are no damage."""

import errno
import io
import mmap
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.media.damage import DamageLog, ShownFrame
from avf_curation.media.decode import MediaFile
from avf_curation.media.file_clock import FileClock, PacketClock
from avf_curation.media.input_file import InputContainer
from avf_curation.media.packet_syntax import codec_of_header, is_unreferenced
from avf_curation.media.presentation_times import PresentationTimes
from avf_curation.media.transport_stream import is_whole_unit
from avf_curation.media.types import VideoTrack
from avf_curation.media.video_decoder import VideoDecoder
from avf_curation.pipeline.screening import ScreenedShot
from avf_curation.pipeline.shot_parts import split_at_faults
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.noisy_film import (
    X264,
    X265,
    damaged_indices,
    frames_by_time,
    noisy_film,
    ruined_pictures,
    spoil,
    video_packets,
    without,
)
from support.numbered_video import HEIGHT, WIDTH, make_numbered_video, numbered_picture, read_number

CONFIG = make_recipe().defaults.media


def log_frames(log: DamageLog, numbers: list[int], damaged: set[int], keys: set[int]) -> None:
    """Note frames in the order of presentation, one at each index."""
    for index, number in enumerate(numbers):
        frame = ShownFrame(
            index=index, stop=index + 1, number=number, is_key=number in keys, is_damaged=number in damaged
        )
        log.note_frame(frame)


def test_a_damaged_frame_spoils_all_up_to_the_next_key_frame() -> None:
    log = DamageLog()
    log_frames(log, [0, 1, 2, 3, 4, 5, 6, 7], damaged={2}, keys={0, 5})
    assert log.finish(8) == (Span(2, 5),)


def test_frames_that_were_decoded_after_the_damage_and_shown_before_it_are_spoilt() -> None:
    log = DamageLog()
    # I0 P3 B1 B2 P6 B4 B5 I9: shown as I0 B1 B2 P3 B4 B5 P6 I9; the numbers are those of the packets.
    log_frames(log, [0, 2, 3, 1, 5, 6, 4, 7], damaged={1}, keys={0, 7})
    assert log.finish(8) == (Span(1, 7),)


def test_a_key_frame_that_was_decoded_before_the_damage_does_not_end_it() -> None:
    log = DamageLog()
    log.note_packet(1)  # the key frame 0 is still in the decoder
    log_frames(log, [0, 2, 3, 4], damaged=set(), keys={0, 3})
    assert log.finish(4) == (Span(1, 2),)


def test_damage_without_a_later_key_frame_lasts_to_the_end_and_touches_no_frame_before() -> None:
    log = DamageLog()
    log_frames(log, list(range(10)), damaged={7}, keys={0})
    assert log.finish(12) == (Span(7, 12),)


def test_a_picture_that_no_other_refers_to_is_damaged_alone() -> None:
    log = DamageLog()
    log.note_frame(ShownFrame(index=0, stop=1, number=0, is_key=True, is_damaged=False))
    log.note_frame(ShownFrame(index=1, stop=3, number=2, is_key=False, is_damaged=True, is_reference=False))
    log.note_frame(ShownFrame(index=3, stop=4, number=1, is_key=False, is_damaged=False))
    assert log.finish(4) == (Span(1, 3),), "all the indices that show it"


@pytest.mark.parametrize("start_code", [True, False])
def test_slices_say_whether_a_frame_is_referred_to(start_code: bool) -> None:
    def packet(*units: bytes) -> memoryview:
        return memoryview(b"".join((b"\0\0\0\1" if start_code else len(u).to_bytes(4, "big")) + u for u in units))

    delimiter = b"\x09\xf0"
    assert is_unreferenced(packet(delimiter, b"\x01\x9a\x00"), "h264")
    assert not is_unreferenced(packet(delimiter, b"\x41\x9a\x00"), "h264")
    assert not is_unreferenced(packet(b"\x65\x88"), "h264")
    assert is_unreferenced(packet(b"\x46\x01\x50", b"\x00\x01"), "hevc")
    assert not is_unreferenced(packet(b"\x02\x01"), "hevc")
    assert not is_unreferenced(packet(b"\x01\x9a"), "vp9")


@pytest.mark.parametrize(
    ("codec", "start", "b_picture", "p_picture"),
    [
        ("mpeg2video", b"\0\0\1\0", b"\x00\x5f\xff", b"\x00\x97\xff"),
        ("mpeg1video", b"\0\0\1\xb8\0\x08\0\x40\0\0\1\0", b"\x01\x1f\xff", b"\x01\x0f\xff"),
        ("mpeg4", b"\0\0\1\xb2user\0\0\1\xb6", b"\x96\x40", b"\x56\x40"),
    ],
)
def test_b_pictures_of_mpeg_are_referred_to_by_none(
    codec: str, start: bytes, b_picture: bytes, p_picture: bytes
) -> None:
    assert is_unreferenced(memoryview(start + b_picture), codec)
    assert not is_unreferenced(memoryview(start + p_picture), codec)
    assert not is_unreferenced(memoryview(start), codec)


def test_every_ruined_picture_of_a_damaged_group_counts_and_the_next_group_is_clean(tmp_path: Path) -> None:
    clean = noisy_film("mpegts", "libx264", X264)
    whole, track = frames_by_time(tmp_path / "clean.ts", clean)
    assert track.damaged == ()
    spoilt = spoil(clean, first_packet=len(clean) // 188 // 4)
    pictures, track = frames_by_time(tmp_path / "spoilt.ts", spoilt)
    assert track.frames == len(whole) == 80
    ruined = [index for index in whole if ((pictures[index] - whole[index]) ** 2).mean() > 30]
    assert len(ruined) > 5, "the damage must be visible for this test to mean anything"
    (damaged,) = track.damaged
    assert set(ruined) <= set(range(damaged.start_frame, damaged.stop_frame))
    assert damaged.stop_frame == 40, "the next key frame"


REORDERED = [
    ("mpeg2video", {"bf": "2", "g": "20", "qmin": "4", "qmax": "4", "sc_threshold": "1000000000"}),
    ("libx264", X264 | {"bf": "3", "b_strategy": "0", "b-pyramid": "none"}),
]


@pytest.mark.parametrize(("codec", "options"), REORDERED)
def test_a_damaged_b_picture_costs_itself_and_is_found_at_its_place(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    data = noisy_film("mpegts", codec, options)
    clean, _ = frames_by_time(tmp_path / "clean.ts", data)
    with av.open(str(tmp_path / "clean.ts")) as film:
        packets = [packet for packet in film.demux(film.streams.video[0]) if packet.size]
    first = min(packet.pts for packet in packets)
    offsets, starts = video_packets(data)
    assert len(starts) == len(packets)
    name = {"libx264": "h264"}.get(codec, codec)
    b_pictures = [n for n in range(25, 45) if is_unreferenced(memoryview(bytes(packets[n])), name)]
    assert len(b_pictures) > 8
    for number in b_pictures[::3]:
        spoilt = without(data, [offsets[(starts[number] + starts[number + 1]) // 2]])
        pictures, track = frames_by_time(tmp_path / "spoilt.ts", spoilt)
        index = round((packets[number].pts - first) / 3600)
        assert ruined_pictures(pictures, clean) == [index], "the damage must be visible for this test to mean anything"
        assert track.damaged == (Span(index, index + 1),)


@pytest.mark.parametrize(("codec", "options"), REORDERED)
def test_no_ruined_picture_is_kept_where_the_start_of_a_picture_is_lost(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    data = noisy_film("mpegts", codec, options)
    clean, track = frames_by_time(tmp_path / "clean.ts", data)
    assert track.damaged == ()
    offsets, starts = video_packets(data)
    for number in range(24, 33):
        lost = offsets[starts[number] - number % 2 : starts[number] + 1]  # the end of the picture before, or not
        pictures, track = frames_by_time(tmp_path / "spoilt.ts", without(data, lost))
        ruined = ruined_pictures(pictures, clean)
        assert ruined
        assert set(ruined) <= damaged_indices(track)


@pytest.mark.parametrize(("codec", "options"), [*REORDERED, ("libx265", X265)])
def test_segments_whose_counters_begin_again_are_whole_where_they_are_joined(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    """As segments of a stream (HLS) that are put behind each other: the times go on, the counters do not."""
    data = noisy_film("mpegts", codec, options)
    clean, track = frames_by_time(tmp_path / "whole.ts", data)
    offsets, starts = video_packets(data)
    with av.open(str(tmp_path / "whole.ts")) as film:
        packets = [packet for packet in film.demux(film.streams.video[0]) if packet.size]
    number = next(n for n, packet in enumerate(packets) if packet.is_keyframe and n > 20)
    segments = bytearray(data)
    for offset in offsets[starts[number] :]:
        segments[offset + 3] = segments[offset + 3] & 240 | (data[offset + 3] + 5) & 15
    pictures, track = frames_by_time(tmp_path / "segments.ts", bytes(segments))
    assert track.damaged == ()
    assert ruined_pictures(pictures, clean) == []
    # Where data are missing before the key frame, the decoder, or the end of the picture, says so.
    middle, end = (starts[number - 1] + starts[number]) // 2, starts[number] - 1
    for lost in (middle, end):
        pictures, track = frames_by_time(tmp_path / "spoilt.ts", without(bytes(segments), [offsets[lost]]))
        ruined = ruined_pictures(pictures, clean)
        assert ruined or lost == end, "which may hold few bytes"
        assert damaged_indices(track)
        assert set(ruined) <= damaged_indices(track)
        assert track.frames == 80


@pytest.mark.parametrize("codecs", [("libx264", "mpeg2video"), ("mpeg2video", "libx264")])
def test_a_recording_of_another_codec_is_not_decoded_as_noise(tmp_path: Path, codecs: tuple[str, str]) -> None:
    joined = b"".join(
        make_numbered_video(
            range(50), container="mpegts", codec=codec, options={"g": "25", "bf": "2"}, first_number=start
        )
        for codec, start in zip(codecs, (0, 100), strict=True)
    )
    (tmp_path / "joined.ts").write_bytes(joined)
    with MediaFile(tmp_path / "joined.ts", CONFIG) as media:
        pictures = [entry.frame.to_ndarray(format="gray") for entry in media.frames()]
        track = media.video_track
        assert track is not None
        numbers = [read_number(frame) for frame in media.read(Span(0, track.decoded_frames))]
        again = [frame.to_ndarray(format="gray") for frame in media.read(Span(0, track.decoded_frames))]
    usable = [n for n in range(len(numbers)) if n not in damaged_indices(track)]
    assert [numbers[n] for n in usable[:-1]] == usable[:-1]
    assert numbers[usable[-1]] in (usable[-1], usable[-1] - 1), "the last one may be lost at the join"
    assert len(usable) >= 47
    assert track.decoded_frames <= 51
    assert track.frames >= 100, "what cannot be decoded fails as cut off"
    np.testing.assert_array_equal(np.stack(again), np.stack(pictures))


def test_start_codes_tell_the_codec() -> None:
    assert codec_of_header(memoryview(b"\0\0\0\1\x09\xf0")) == "h264"
    assert codec_of_header(memoryview(b"\0\0\1\x46\1\x50")) == "hevc"
    assert codec_of_header(memoryview(b"\0\0\1\xb3\x14\0")) == "mpeg"
    assert codec_of_header(memoryview(b"\0\0\1\xb6\x51\xf0")) == "mpeg4"
    assert codec_of_header(memoryview(b"\0\0\1\x09\x12\x5b")) == "", "a slice of MPEG-2"
    assert codec_of_header(memoryview(b"")) == ""


def test_a_shot_is_cut_where_damage_and_another_recording_begin() -> None:
    track = VideoTrack(frames=100, pts=np.arange(100), damaged=(Span(20, 30),), joins=(60,))
    shot = ScreenedShot(span=Span(10, 80), faces=((), (), ()), sampled=(12, 40, 70))
    parts = split_at_faults(shot, track)
    spans = [(part.shot.span, part.is_damaged) for part in parts]
    assert spans == [(Span(10, 20), False), (Span(20, 30), True), (Span(30, 60), False), (Span(60, 80), False)]
    assert [part.shot.sampled for part in parts] == [(12,), (12, 40, 70), (40,), (70,)]


@pytest.mark.parametrize("skipped", [1, 2, 3, 7, 11, 12, 23])
def test_a_healthy_cut_lacks_no_frame_at_its_end(tmp_path: Path, skipped: int) -> None:
    """As `ffmpeg -ss T -c copy` cuts: packets from a key frame on, the first ones hidden by an edit list."""
    source = make_numbered_video(range(60), container="mp4", options={"bf": "3", "b_strategy": "0", "g": "250"})
    sink = io.BytesIO()
    with av.open(io.BytesIO(source)) as film, av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        shift = round(skipped / 25 / film.streams.video[0].time_base)
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                out.mux(packet)
    (tmp_path / "cut.mp4").write_bytes(sink.getvalue())
    with MediaFile(tmp_path / "cut.mp4", CONFIG) as media:
        list(media.frames())
        track = media.video_track
    assert track is not None
    assert track.damaged == ()
    assert track.frames == track.decoded_frames


def test_packets_that_repeat_the_picture_before_are_no_errors(tmp_path: Path) -> None:
    """Theora stores "the same picture once more" as a packet without data; PyAV has no encoder for it."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is needed to encode Theora")
    expected = [10 if 10 <= n < 20 else n for n in range(50)]
    raw = np.stack([numbered_picture(n) for n in expected])
    form = f"-f rawvideo -pix_fmt gray -s {WIDTH}x{HEIGHT} -r 25 -i - -pix_fmt yuv420p -c:v libtheora -q:v 8 -f ogg -"
    encoded = subprocess.run(["ffmpeg", "-v", "error", *form.split()], input=raw.tobytes(), capture_output=True)
    if encoded.returncode:
        pytest.skip("this ffmpeg has no encoder for Theora")
    (tmp_path / "film.ogv").write_bytes(encoded.stdout)
    with MediaFile(tmp_path / "film.ogv", CONFIG) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        track = media.video_track
    assert track is not None
    assert track.damaged == ()
    assert numbers == expected
    assert track.frames == track.decoded_frames == 50


def test_a_packet_without_data_does_not_end_the_video(tmp_path: Path) -> None:
    data = make_numbered_video(range(20), container="mp4", codec="mpeg4")
    (tmp_path / "film.mp4").write_bytes(data)
    failed: list[int] = []
    with av.open(str(tmp_path / "film.mp4")) as film:
        video = film.streams.video[0]
        decoder = VideoDecoder(
            InputContainer(film),
            video,
            PacketClock(FileClock()),
            lambda number, is_reference, time: failed.append(number),
        )
        empty = av.Packet()
        empty.pts = empty.dts = 5
        packets = list(decoder._read_packets())
        times = PresentationTimes(decode_timed=False, is_avi=False)
        frames = [
            frame for packet in [*packets[:5], empty, *packets[5:]] for frame in decoder._decode(packet, None, times)
        ]
    assert len(frames) == 20
    assert decoder.repeated_until is not None
    assert decoder.repeated_until > 5
    assert failed == []


def transport_packet(counter: int, *, field: bytes = b"", pid: int = 256) -> bytes:
    """Return a packet of a transport stream with an adaptation field (behind its length), or none."""
    header = bytes((0x47, pid >> 8, pid & 255, (0x30 if field else 0x10) | counter))
    return (header + (bytes((len(field),)) + field if field else b"")).ljust(188, b"\x5a")


def test_a_unit_is_whole_up_to_the_packet_that_padding_fills() -> None:
    padding, clock = b"\0" + b"\xff" * 20, b"\x10" + bytes(6)
    other = transport_packet(9, pid=257)
    whole = transport_packet(14) + other + transport_packet(15) + transport_packet(0, field=padding)
    assert is_whole_unit(whole, 256)
    assert is_whole_unit(transport_packet(3, field=clock + b"\xff\xff"), 256)
    assert not is_whole_unit(transport_packet(3, field=clock), 256), "no padding: its end may be missing"
    assert not is_whole_unit(whole[:-188], 256)
    assert not is_whole_unit(transport_packet(14) + transport_packet(0, field=padding), 256)
    assert not is_whole_unit(b"x" + whole, 256)
    assert not is_whole_unit(b"", 256)


def film_with_an_absurd_packet(tmp_path: Path) -> Path:
    """Write an AVI of 60 pictures whose index says that a packet of sound half-way has 922 MB."""
    data = bytearray(make_numbered_video(range(60), container="avi", codec="mpeg4", beeps_s=(1,)))
    entries, entry_bytes = data.rindex(b"idx1") + 8, 16
    middle = data.index(b"01wb", entries + (len(data) - entries) // 2)
    assert (middle - entries) % entry_bytes == 0
    data[middle + entry_bytes - 1] = 0x37
    (tmp_path / "film.avi").write_bytes(data)
    return tmp_path / "film.avi"


def test_a_packet_that_declares_an_absurd_size_ends_the_file_and_is_no_shortage_of_memory(tmp_path: Path) -> None:
    with MediaFile(film_with_an_absurd_packet(tmp_path), CONFIG) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
    assert numbers == list(range(len(numbers)))
    assert 20 <= len(numbers) < 60


def test_a_packet_that_gets_no_memory_on_a_full_machine_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with MediaFile(film_with_an_absurd_packet(tmp_path), CONFIG) as media, pytest.raises(MemoryError):
        list(media.frames())
