"""The films of the benchmark of gates show what they say."""

import numpy as np
import pytest

from benchmarks.gates.bars import BARS, draw_bars
from benchmarks.gates.marks import MARKS, SCENERY, draw_mark, draw_scenery
from benchmarks.gates.transitions import KINDS, PURE_FRAMES, make_single_shots, make_transition

#: A wall that stands still.
SCENE = np.random.default_rng(0).integers(118, 122, (20, 180, 320, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transition_begins_and_ends_where_the_film_says(kind: str) -> None:
    first, second = np.full((20, 90, 160, 3), 40, np.uint8), np.full((30, 100, 200, 3), 200, np.uint8)
    film = make_transition("two", first, second, kind, 12)
    assert film.transition is not None
    start, stop = film.transition.start_frame, film.transition.stop_frame
    assert (start, stop, len(film.frames_THWC)) == (PURE_FRAMES, PURE_FRAMES + 12, 2 * PURE_FRAMES + 12)
    assert (film.frames_THWC[:start] == 40).all()
    assert (film.frames_THWC[stop:] == 200).all()
    means = film.frames_THWC[start - 1 : stop + 1].mean((1, 2, 3))
    assert (np.diff(means) >= 0).all()
    assert 60 < means[len(means) // 2] < 180


@pytest.mark.parametrize("kind", MARKS)
def test_a_mark_covers_a_small_part_of_the_picture(kind: str) -> None:
    marked = draw_mark(SCENE, kind, seed=1, frames_per_s=5)
    covered = (marked != SCENE).any(3)
    assert 0.002 < covered.any(0).mean() < 0.3
    moves = (covered[0] != covered[10]).any() or (marked[0][covered[0]] != marked[10][covered[0]]).any()
    assert moves or kind not in ("subtitles", "ticker")
    assert (draw_mark(SCENE, kind, seed=1, frames_per_s=5) == marked).all()


@pytest.mark.parametrize("kind", SCENERY)
def test_scenery_keeps_size_and_count_of_frames(kind: str) -> None:
    drawn = draw_scenery(SCENE, kind, seed=1)
    assert (drawn.shape, drawn.dtype) == (SCENE.shape, SCENE.dtype)
    assert (drawn != SCENE).any()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", BARS)
def test_bars_lie_at_two_opposite_sides_and_leave_the_middle(kind: str, seed: int) -> None:
    scene = np.random.default_rng(1).integers(20, 200, (3, 180, 320, 3)).astype(np.uint8)
    drawn = draw_bars(scene, kind, seed)
    assert drawn.shape == scene.shape
    is_same_HW = (drawn == scene).all((0, 3))
    rows, columns = is_same_HW.all(1), is_same_HW.all(0)
    lines = columns if columns.any() else rows
    assert 0.4 <= lines.mean() <= 0.8
    assert list(lines) == list(lines[::-1])


def test_single_shots_have_no_transition() -> None:
    names = [film.name for film in make_single_shots("scene", SCENE) if film.transition is None]
    assert len(names) == len(set(names)) == 10
