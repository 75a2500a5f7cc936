"""People keep their number from shot to shot while they look alike."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_shards.timeline import Span
from avf_training.inference import people
from avf_training.inference.people import Look, match_people, number_people


def look(shade: float) -> list[Look]:
    return [np.full((8, 8, 3), shade, np.float32)]


def test_people_are_matched_by_look_and_new_ones_take_new_numbers() -> None:
    known = {0: look(10), 1: look(200)}
    assert match_people({}, [look(200), look(10)]) == [0, 1], "the largest face first"
    assert match_people(known, [look(190), look(20)]) == [1, 0], "the faces' sizes have changed places"
    assert match_people(known, [look(199)]) == [1], "one has left"
    assert match_people(known, [look(12), look(100), look(201)]) == [0, 2, 1], "one has come"
    assert match_people({0: look(10), 2: look(90)}, [look(90), look(11), look(250)]) == [2, 0, 3]
    assert match_people(known, [look(100)]) == [2], "somebody else alone is no known person"
    assert match_people({0: [*look(10), *look(120)]}, [look(115)]) == [0], "as in any earlier picture"


@pytest.mark.parametrize(
    ("shades", "numbers"),
    [
        ([10, 12, 14], [0, 0, 0]),  # one person, in three shots
        ([10, 200, 12], [0, 1, 0]),  # a talk of two, each alone in the picture
        ([10, 100, 200], [0, 1, 2]),
    ],
)
def test_people_who_are_alone_in_their_shots_are_told_apart(
    shades: list[int], numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        SimpleNamespace(key=f"clip {n}", source="s", video_id="a.mp4", span=Span(50 * n, 50 * n + 50), track=0)
        for n in range(len(shades))
    ]
    shards: Any = SimpleNamespace(records=lambda: enumerate(records), read=lambda index: shades[index])
    monkeypatch.setattr(people, "thumbnails", lambda shade, count: [np.full((112, 112, 3), shade, np.uint8)] * count)
    assert list(number_people(shards).values()) == numbers
