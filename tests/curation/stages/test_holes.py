"""A local hole in sound or picture is rejected alone; the parts of a shot tile it whatever is missing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from avf_curation.media.types import AudioTrack, VideoTrack
from avf_curation.pipeline.screening import ScreenedShot
from avf_curation.pipeline.shot_parts import split_at_faults
from avf_curation.stages import scenes
from avf_curation.stages.holes import ShotPiece, split_at_holes
from avf_shards.timeline import SAMPLES_PER_FRAME, Span, check_tiling
from hypothesis import given
from hypothesis import strategies as st
from support.curation_runs import make_recipe
from support.stages import failed_reasons

SCENES = make_recipe().defaults.scenes


def video(frames: int, *gaps: tuple[int, int]) -> VideoTrack:
    return VideoTrack(frames=frames, pts=np.arange(frames), gaps=tuple(Span(*gap) for gap in gaps))


def sound(frames: int, *covered: tuple[float, float]) -> AudioTrack:
    spans = tuple(Span(int(start * SAMPLES_PER_FRAME), int(stop * SAMPLES_PER_FRAME)) for start, stop in covered)
    return AudioTrack(samples=np.zeros(frames * SAMPLES_PER_FRAME, np.int16), covered=spans)


def divide(frames: int, video_track: VideoTrack, audio_track: AudioTrack | None) -> list[tuple[int, int, list[str]]]:
    parts = split_at_holes(Span(0, frames), video_track, audio_track, SCENES)
    return [(part.span.start_frame, part.span.stop_frame, verdict(part, video_track, audio_track)) for part in parts]


def verdict(part: ShotPiece, video_track: VideoTrack, audio_track: AudioTrack | None) -> list[str]:
    measured = part.hole or scenes.measure(part.span, video_track, audio_track)
    return failed_reasons(scenes.decide(measured, SCENES))


def test_sound_that_begins_late_costs_what_is_missing() -> None:
    assert divide(200, video(200), sound(200, (20, 200))) == [(0, 20, ["no_sound"]), (20, 200, [])]


def test_sound_that_ends_early_costs_what_is_missing() -> None:
    assert divide(200, video(200), sound(200, (0, 190.25))) == [(0, 190, []), (190, 200, ["no_sound"])]


def test_a_hole_in_the_sound_costs_what_is_missing() -> None:
    assert divide(200, video(200), sound(200, (0, 75.5), (85.5, 200))) == [
        (0, 75, []),
        (75, 86, ["no_sound"]),
        (86, 200, []),
    ]


def test_a_hole_in_the_picture_costs_what_is_missing() -> None:
    assert divide(200, video(200, (90, 140)), sound(200, (0, 200))) == [
        (0, 90, []),
        (90, 140, ["no_picture"]),
        (140, 200, []),
    ]


def test_short_holes_stay_until_they_add_up() -> None:
    ending_early = sound(200, (0, 198), (198, 198))
    assert divide(200, video(200), ending_early) == [(0, 200, [])]
    three = sound(200, (3, 60), (64, 120), (124, 200))  # 11 frames, of which 6 may stay
    assert divide(200, video(200), three) == [
        (0, 60, []),
        (60, 64, ["no_sound"]),
        (64, 120, []),
        (120, 124, ["no_sound"]),
        (124, 200, []),
    ]


def test_a_shot_without_sound_is_one_part() -> None:
    assert divide(100, video(100), None) == [(0, 100, ["no_sound"])]
    assert divide(100, video(100), sound(100)) == [(0, 100, ["no_sound"])]
    assert divide(30, video(30), None) == [(0, 30, ["too_short", "no_sound"])]


def test_holes_stay_where_the_stage_only_measures() -> None:
    parts = split_at_holes(Span(0, 200), video(200), sound(200, (20, 200)), SCENES, cut_holes=False)
    assert [part.span for part in parts] == [Span(0, 200)]


def test_long_shots_are_cut_between_the_holes() -> None:
    config = make_recipe("scenes.max_shot_s=4").defaults.scenes
    parts = split_at_holes(Span(0, 400), video(400), sound(400, (0, 180), (220, 400)), config)
    assert [part.span for part in parts] == [Span(0, 90), Span(90, 180), Span(180, 220), Span(220, 310), Span(310, 400)]
    assert [part.hole is not None for part in parts] == [False, False, True, False, False]


EDGES = st.lists(st.floats(0, 300, width=32), max_size=12).map(sorted)


@given(sound_edges=EDGES, gap_edges=EDGES, shot=st.tuples(st.integers(0, 150), st.integers(151, 300)))
def test_the_parts_tile_the_shot_and_are_complete_or_rejected(
    sound_edges: list[float], gap_edges: list[float], shot: tuple[int, int]
) -> None:
    gaps = [(int(a), int(b)) for a, b in zip(gap_edges[::2], gap_edges[1::2], strict=False) if int(a) < int(b)]
    gaps = [gap for n, gap in enumerate(gaps) if n == 0 or gap[0] >= gaps[n - 1][1]]
    covered = [(a, b) for a, b in zip(sound_edges[::2], sound_edges[1::2], strict=False) if a < b]
    video_track, audio_track = video(300, *gaps), sound(300, *covered)
    span = Span(*shot)
    parts = split_at_holes(span, video_track, audio_track, SCENES)
    assert parts[0].span.start_frame == span.start_frame
    check_tiling(
        [Span(part.span.start_frame - span.start_frame, part.span.stop_frame - span.start_frame) for part in parts],
        span.frames,
    )
    for part in parts:
        reasons = verdict(part, video_track, audio_track)
        if part.hole is not None:
            assert reasons
            assert set(reasons) <= {"no_picture", "no_sound"}
        elif span.seconds >= SCENES.min_shot_s:
            assert set(reasons) <= {"too_short"}


class CountedSpans(tuple[Span, ...]):
    """Counts how many spans are looked at."""

    looked_at = 0

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        CountedSpans.looked_at += len(item) if isinstance(key, slice) else 1
        return item

    def __iter__(self) -> Iterator[Span]:
        for item in super().__iter__():
            CountedSpans.looked_at += 1
            yield item


def test_thousands_of_holes_and_damaged_stretches_cost_a_few_looks_each() -> None:
    """Each part of a shot asks only for what lies in it."""
    count = 2000
    frames = 200 * count
    gaps = CountedSpans(Span(200 * n + 50, 200 * n + 80) for n in range(count))
    damaged = CountedSpans(Span(200 * n + 150, 200 * n + 160) for n in range(count))
    covered = CountedSpans(Span(128_000 * n, 128_000 * n + 100_000) for n in range(count))
    track = VideoTrack(frames=frames, pts=np.zeros(frames), gaps=gaps, damaged=damaged)
    audio = AudioTrack(samples=np.zeros(0, np.int16), covered=covered)
    CountedSpans.looked_at = 0
    parts = split_at_faults(ScreenedShot(span=Span(0, frames), faces=None), track)
    assert len(parts) == 2 * count + 1
    pieces = [
        piece for part in parts if not part.is_damaged for piece in split_at_holes(part.shot.span, track, audio, SCENES)
    ]
    measured = [scenes.measure(piece.span, track, audio) for piece in pieces]
    assert len(pieces) > 3 * count
    assert round(sum(score.no_picture_s for score in measured) * 25) == 30 * count
    assert CountedSpans.looked_at < 200 * len(pieces)
