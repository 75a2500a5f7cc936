"""People keep their number from shot to shot."""

import numpy as np
from avf_training.inference.people import Look, match_people


def look(shade: float) -> Look:
    return np.full((8, 8, 3), shade, np.float32)


def test_people_are_matched_by_look_and_new_ones_take_the_first_unused_number() -> None:
    known = {0: look(10), 1: look(200)}
    assert match_people({}, [look(200), look(10)]) == [0, 1], "the largest face first"
    assert match_people(known, [look(190), look(20)]) == [1, 0], "the faces' sizes have changed places"
    assert match_people(known, [look(199)]) == [1], "one has left"
    assert match_people(known, [look(12), look(100), look(201)]) == [0, 2, 1], "one has come"
    assert match_people({0: look(10), 2: look(90)}, [look(90), look(11), look(250)]) == [2, 0, 1]
