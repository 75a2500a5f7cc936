"""What an edit list shows is read as it says; where FFmpeg plays something else there is a hole, never other media."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.edit_lists import TimeSpans
from avf_curation.media.types import AudioTrack, VideoTrack
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span
from support.curation_runs import make_recipe
from support.edit_lists import Edit, with_edit_list
from support.numbered_video import make_numbered_video, read_number

CONFIG = make_recipe().defaults.media
NOTHING = None  # media time of an edit that shows nothing
MAX_STILL = 8  # frames for which a picture counts as seen before a hole: half of media.max_gap_s


@pytest.fixture(scope="module")
def film() -> bytes:
    """Return 5 s with B-frames, a key frame each second, and a beep at each second."""
    options = {"bf": "3", "g": "25", "preset": "veryfast"}
    return make_numbered_video(range(125), container="mp4", options=options, beeps_s=(1, 2, 3, 4))


def read(path: Path, film: bytes) -> tuple[list[int], VideoTrack, AudioTrack]:
    path.write_bytes(film)
    with MediaFile(path, CONFIG) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        track = media.video_track
        assert track is not None
        numbers_again = [read_number(frame) for frame in media.read(Span(40, 90))]
        sound = media.audio(track.frames)
    assert numbers_again == numbers[40:90]
    assert sound is not None
    return numbers, track, sound


def beeps_s(sound: AudioTrack) -> list[float]:
    loud = np.flatnonzero(np.abs(sound.samples.astype(int)) > 3000)
    return [loud[n] / SAMPLE_RATE_HZ for n in range(len(loud)) if n == 0 or loud[n] - loud[n - 1] > SAMPLE_RATE_HZ / 4]


@pytest.mark.parametrize(
    ("middle", "media_s"),
    [
        (Edit(1, NOTHING), 2),
        (Edit(1, 2, speed=0), 2),
        (Edit(1, 2, speed=0.5), 2.6),
        (Edit(1, 2, speed=2), 3),
    ],
    ids=["empty", "a picture stands", "slow", "fast"],
)
@pytest.mark.parametrize("version", [0, 1])
def test_an_edit_that_ffmpeg_misplays_is_a_hole(
    tmp_path: Path, film: bytes, middle: Edit, media_s: float, version: int
) -> None:
    edits = [Edit(2, 0), middle, Edit(1.6, media_s)]
    numbers, track, sound = read(tmp_path / "film.mp4", with_edit_list(film, edits, version=version))
    shift = round(25 * media_s) - 75
    assert numbers[:50] == list(range(50))
    assert numbers[75:115] == [n + shift for n in range(75, 115)]
    assert set(numbers[50:75]) == {49}
    (hole,) = track.gaps
    assert hole.stop_frame == 75
    assert 50 < hole.start_frame <= 50 + MAX_STILL
    assert len(sound.covered) == 2
    assert abs(sound.covered[0].stop_frame - 50 * SAMPLES_PER_FRAME) < 0.03 * SAMPLE_RATE_HZ
    assert abs(sound.covered[1].start_frame - 75 * SAMPLES_PER_FRAME) < 0.03 * SAMPLE_RATE_HZ
    shown_s = [1.0, *(beep - media_s + 3 for beep in (1, 2, 3, 4) if media_s + 0.1 < beep < media_s + 1.5)]
    assert [beep for beep in beeps_s(sound) if not 1.95 < beep < 3.05] == pytest.approx(shown_s, abs=0.025)


def test_an_empty_edit_behind_all_media_adds_nothing(tmp_path: Path, film: bytes) -> None:
    numbers, _, sound = read(tmp_path / "film.mp4", with_edit_list(film, [Edit(3.8, 0), Edit(1, NOTHING)]))
    assert numbers == list(range(95))
    assert [round(beep) for beep in beeps_s(sound)] == [1, 2, 3]


def test_the_list_of_one_track_leaves_the_other_whole(tmp_path: Path, film: bytes) -> None:
    edits = [Edit(2, 0), Edit(1, NOTHING), Edit(2, 3)]
    numbers, track, sound = read(tmp_path / "sound.mp4", with_edit_list(film, edits, "soun"))
    assert numbers == list(range(125))
    assert track.gaps == ()
    assert len(sound.covered) == 2
    numbers, track, sound = read(tmp_path / "picture.mp4", with_edit_list(film, edits, "vide"))
    assert numbers[:50] + numbers[75:] == [*range(50), *range(75, 125)]
    assert len(track.gaps) == 1
    assert len(sound.covered) == 1


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("first", [56, 60, 63, 70, 74, 75])
def test_an_edit_may_begin_between_key_frames(tmp_path: Path, codec: str, first: int) -> None:
    """FFmpeg shows the pictures of such an edit up to 0.2 s late, and of H.265 none before the next key frame."""
    options = {"bf": "3", "b_strategy": "0", "g": "25", "preset": "veryfast", "x265-params": "log-level=none"}
    film = make_numbered_video(range(125), container="mp4", codec=codec, options=options, beeps_s=(1, 2, 3, 4))
    edits = [Edit(2, 0), Edit(1.6, first / 25), Edit(0.8, 3.52)]
    numbers, track, sound = read(tmp_path / "film.mp4", with_edit_list(film, edits))
    assert numbers == [*range(50), *range(first, first + 40), *range(88, 108)]
    assert (track.gaps, track.damaged) == ((), ())
    assert len(sound.covered) == 1


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([Edit(1, NOTHING), Edit(5, 0)], range(125)),
        ([Edit(2, 0), Edit(2, 3)], [*range(50), *range(75, 125)]),
        ([Edit(2, 0), Edit(3, 2)], range(125)),
        ([Edit(2, 3), Edit(2, 0)], [*range(75, 125), *range(50)]),
        ([Edit(2, 0), Edit(2, 0)], [*range(50), *range(50)]),
        ([Edit(5, 0, speed=0)], range(125)),  # an error of its writer
        ([Edit(5, 0, speed=2)], range(125)),
        ([Edit(1, NOTHING), Edit(5, 0, speed=0.5)], range(125)),
    ],
    ids=[
        "begins late",
        "cut out",
        "continued",
        "swapped",
        "repeated",
        "one edit without a speed",
        "one fast",
        "one slow, late",
    ],
)
def test_other_lists_show_what_they_say(tmp_path: Path, film: bytes, edits: list[Edit], expected: list[int]) -> None:
    numbers, track, _ = read(tmp_path / "film.mp4", with_edit_list(film, edits))
    assert numbers == list(expected)
    assert track.gaps == ()


def test_a_list_that_cannot_be_placed_costs_what_is_behind_its_first_edit(tmp_path: Path, film: bytes) -> None:
    """An edit behind the end of the media plays no packets, so that which packets belong to which edit is not known."""
    edits = [Edit(2, 0), Edit(1, 100), Edit(1.6, 2)]
    numbers, track, sound = read(tmp_path / "film.mp4", with_edit_list(film, edits))
    assert numbers[:50] == list(range(50))
    assert set(numbers[50:115]) == {49}
    (hole,) = track.gaps
    assert 50 < hole.start_frame <= 50 + MAX_STILL
    assert hole.stop_frame == 115
    assert len(numbers) <= 116  # FFmpeg's last picture is late by its own reckoning
    assert beeps_s(sound)[0] == pytest.approx(1, abs=0.025)


@pytest.mark.parametrize("cut", [4, 8, 11, 16, 20])
def test_a_damaged_list_breaks_nothing(tmp_path: Path, film: bytes, cut: int) -> None:
    data = bytearray(with_edit_list(film, [Edit(2, 0), Edit(1, NOTHING), Edit(2, 3)]))
    data[data.index(b"elst") + cut] = 0xFF
    (tmp_path / "film.mp4").write_bytes(data)
    with MediaFile(tmp_path / "film.mp4", CONFIG) as media:
        assert all(0 <= read_number(entry.frame) < 125 for entry in media.frames())


def test_a_long_index_is_no_other_recording(tmp_path: Path, film: bytes) -> None:
    """An index, and another film, may both take more than a tenth of a file behind its last packet."""
    index = film.rindex(b"moov") - 4
    padding = (len(film)).to_bytes(4, "big") + b"free" + bytes(len(film) - 8)
    content = b"moov" + film[index + 8 :] + padding
    _, track, _ = read(tmp_path / "film.mp4", film[:index] + (len(content) + 4).to_bytes(4, "big") + content)
    assert track.unread_bytes == 0
    (tmp_path / "two.mp4").write_bytes(film + film)
    with MediaFile(tmp_path / "two.mp4", CONFIG) as media:
        list(media.frames())
        assert media.video_track is not None
        assert media.video_track.unread_bytes > len(film) / 2


class CountedTime(Fraction):
    """A time that counts how often times are compared with it."""

    comparisons = 0

    def __lt__(self, other: Fraction | float) -> bool:
        CountedTime.comparisons += 1
        return super().__lt__(other)

    def __gt__(self, other: Fraction | float) -> bool:
        CountedTime.comparisons += 1
        return super().__gt__(other)

    def __ge__(self, other: Fraction | float) -> bool:
        CountedTime.comparisons += 1
        return super().__ge__(other)


def test_thousands_of_edits_are_not_gone_through_for_each_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 3,000 edits took 16 s: each packet was compared with each edit that FFmpeg misplays."""
    monkeypatch.setattr(CountedTime, "comparisons", 0)
    spans = TimeSpans.make((Fraction(2 * n + 1), Fraction(2 * n + 2)) for n in range(1500))
    times = [CountedTime(n, 2) for n in range(-2, 6004)]
    covered = [spans.cover(time_s) for time_s in times]
    # A hole begins at each odd second; what is presented as it ends, to a millisecond, is shown.
    assert covered == [0 <= time_s < 3000 and int(time_s) % 2 == 1 for time_s in map(Fraction, times)]
    # At most 12 comparisons of a time, each counted twice: one with a float goes on as one with a fraction.
    assert 0 < CountedTime.comparisons <= 24 * len(times)


@pytest.mark.parametrize(
    ("time_s", "is_covered"),
    [("0.9989", False), ("0.9991", True), ("1.9989", True), ("1.9991", True), ("2.9989", True), ("2.9991", False)],
)
def test_edits_that_follow_each_other_or_last_for_nothing_cover_what_they_last(time_s: str, is_covered: bool) -> None:
    spans = TimeSpans.make(
        [(Fraction(begin), Fraction(end)) for begin, end in [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]]
    )
    assert spans.cover(Fraction(time_s)) is is_covered
    assert not TimeSpans.make([]).cover(Fraction(time_s))
