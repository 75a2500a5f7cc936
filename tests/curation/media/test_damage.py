"""Damage lasts to the next clean key frame; healthy oddities are no damage."""

import io
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.media.damage import DamageLog, ShownFrame
from avf_curation.media.decode import MediaFile
from avf_curation.media.file_clock import FileClock, PacketClock
from avf_curation.media.packet_order import PacketOrder
from avf_curation.media.types import VideoTrack
from avf_curation.media.video_decoder import VideoDecoder, is_unreferenced
from avf_curation.pipeline.screening import ScreenedShot
from avf_curation.pipeline.shot_parts import split_at_faults
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.numbered_video import HEIGHT, WIDTH, make_numbered_video, numbered_picture, read_number

CONFIG = make_recipe().defaults.media


def log_frames(log: DamageLog, numbers: list[int], damaged: set[int], keys: set[int]) -> None:
    """Note frames in the order of presentation, one at each index."""
    for index, number in enumerate(numbers):
        log.note_frame(ShownFrame(index=index, number=number, is_key=number in keys, is_damaged=number in damaged))


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
    log.note_frame(ShownFrame(index=0, number=0, is_key=True, is_damaged=False))
    log.note_frame(ShownFrame(index=1, number=2, is_key=False, is_damaged=True, is_reference=False))
    log.note_frame(ShownFrame(index=2, number=1, is_key=False, is_damaged=False))
    assert log.finish(3) == (Span(1, 2),)


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
    assert not is_unreferenced(packet(b"\x01\x9a"), "mpeg4")


def spoil(data: bytes, first_packet: int, packets: int = 1) -> bytes:
    """Overwrite the payload of some transport packets that hold video and begin no picture."""
    spoilt = bytearray(data)
    video = [
        offset
        for offset in range(0, len(data), 188)
        if (data[offset + 1] & 31) << 8 | data[offset + 2] == 256 and not data[offset + 1] & 64
    ]
    for offset in video[first_packet : first_packet + packets]:
        spoilt[offset + 20 : offset + 188] = bytes(168)
    return bytes(spoilt)


def frames_by_time(path: Path, data: bytes) -> tuple[dict[int, np.ndarray], VideoTrack]:
    path.write_bytes(data)
    with MediaFile(path, CONFIG) as media:
        pictures = {entry.index: entry.frame.to_ndarray(format="gray").astype(int) for entry in media.frames()}
        assert media.video_track is not None
        return pictures, media.video_track


def noisy_transport_stream(group: int) -> bytes:
    """Return 80 frames of moving noise: enough bytes that a picture has several transport packets."""
    sink, draw = io.BytesIO(), np.random.default_rng(0)
    texture = draw.integers(0, 255, (128, 400), np.uint8)
    with av.open(sink, "w", format="mpegts") as out:
        options = {"g": str(group), "sc_threshold": "0", "bf": "0", "preset": "veryfast", "qp": "24"}
        video = out.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 192, 128, "yuv420p"
        for n in range(80):
            image = np.ascontiguousarray(texture[:, 2 * n : 2 * n + 192])
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return sink.getvalue()


def test_every_ruined_picture_of_a_damaged_group_counts_and_the_next_group_is_clean(tmp_path: Path) -> None:
    clean = noisy_transport_stream(group=40)
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
            film, video, PacketClock(FileClock()), lambda number, is_reference: failed.append(number)
        )
        empty = av.Packet()
        empty.pts = empty.dts = 5
        packets = list(decoder._read_packets())
        order = PacketOrder(decode_timed=False)
        frames = [frame for packet in [*packets[:5], empty, *packets[5:]] for frame in decoder._decode(packet, order)]
    assert len(frames) == 20
    assert decoder.repeated_until is not None
    assert decoder.repeated_until > 5
    assert failed == []
