"""Shots end at cuts and on either side of a dissolve; a cut that is seen inside of a dissolve is none."""

import numpy as np
from avf_curation.media.types import Bytes
from avf_curation.pipeline.shot_ends import ShotEnd, ShotEnds, ShotSearch
from support.curation_runs import make_recipe


def textures(count: int) -> list[Bytes]:
    rng = np.random.default_rng(0)
    return [np.kron(rng.integers(0, 255, (9, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8) for _ in range(count)]


def film() -> list[Bytes]:
    """Return a cut at frame 60, and an uneven dissolve from 150 to 180 that jumps at frame 170."""
    first, second, third = textures(3)
    pictures = [first] * 60 + [second] * 90
    for n in range(30):
        share = n / 60 if n < 20 else 0.7 + n / 100
        pictures.append(np.round(second * (1 - share) + third * share).astype(np.uint8))
    return pictures + [third] * 60


def collect_ends(find_dissolves: bool) -> list[ShotEnd]:
    config = make_recipe("scenes.detectors=[adaptive,dissolve]", "scenes.max_dissolve=0.8").defaults.scenes
    ends = ShotEnds(config, first_index=0, search=ShotSearch(find_dissolves=find_dissolves))
    shot_ends = [end for index, picture in enumerate(film()) for end in ends.feed(index, picture)]
    return shot_ends + ends.finish()


def test_cuts_outside_of_a_dissolve_and_its_two_edges_end_a_shot() -> None:
    cut, start, stop = collect_ends(find_dissolves=True)
    assert (cut.stop_frame, cut.dissolve, start.dissolve) == (60, 0.0, 0.0)
    assert 140 <= start.stop_frame <= 156
    assert 170 <= stop.stop_frame <= 190
    assert stop.dissolve > 0.8


def test_without_dissolves_every_cut_ends_a_shot() -> None:
    assert [end.stop_frame for end in collect_ends(find_dissolves=False)] == [60, 170]
