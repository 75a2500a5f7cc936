"""Files that were joined byte by byte go on where their clock starts again, with picture and sound together."""

from pathlib import Path

import numpy as np
import pytest
from avf_curation.media.audio import _place_blocks
from avf_curation.media.decode import MediaFile
from avf_curation.media.joined_clock import JoinedClock
from avf_curation.media.types import AudioTrack, MediaError
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


class Packet:
    """Stands for PyAV's packet."""

    time_base = 1 / 1000
    duration = 40

    def __init__(self, stream_index: int, dts: int, pos: int) -> None:
        self.stream_index, self.pts, self.dts, self.pos = stream_index, dts, dts, pos


def test_all_streams_get_the_offset_that_the_first_of_them_needs() -> None:
    clock = JoinedClock(may_jump_ahead=True)
    packets = [Packet(s, 40 * n, 20 * n + s) for n in range(50) for s in (0, 1)]
    packets += [Packet(1, 5, 2010), Packet(0, 0, 2000), Packet(1, 45, 2030), Packet(0, 40, 2020)]
    restarted = [clock.adjust(packet) for packet in packets]
    assert [packet.dts for packet in packets[-4:]] == [2000, 1995, 2040, 2035]
    assert [packet.pos for packet, again in zip(packets, restarted, strict=True) if again] == [2010, 2000]
    assert len(clock.restarts) == 1


def test_a_stream_whose_clock_jumps_alone_does_not_move_the_others_later() -> None:
    clock = JoinedClock(may_jump_ahead=True)
    before = [Packet(s, 40 * n, 20 * n + s) for n in range(50) for s in (0, 1)]
    alone = [Packet(1, 60_000 + 40 * n, 1000 + 20 * n + 1) for n in range(50)]
    on = [Packet(0, 2000 + 40 * n, 2000 + 20 * n) for n in range(50)]
    again = [Packet(0, 0, 4000)]
    for packet in before + alone + on + again:
        clock.adjust(packet)
    assert [packet.dts for packet in on] == [2000 + 40 * n for n in range(50)]
    assert again[0].dts == 4000
