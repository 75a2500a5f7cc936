"""Intervals are over people: many clips of few people do not make a result precise."""

import numpy as np
from avf_training.evaluation.scoring import Bootstrap, Predictions, bootstrap_interval
from support.labelled import make_dataset


def make_predictions(people: int, clips: int) -> tuple[Predictions, dict[str, str]]:
    """Return predictions that are right for every clip of each second person, and for no clip of the others."""
    keys = tuple(f"{person}-{clip}" for person in range(people) for clip in range(clips))
    truth_N = np.array([clip % 2 for _ in range(people) for clip in range(clips)])
    right_N = np.array([person % 2 == 0 for person in range(people) for _ in range(clips)])
    predicted_N = np.where(right_N, truth_N, 1 - truth_N)
    predictions = Predictions(keys=keys, truth=truth_N.astype(float), scores_NJ=np.eye(2)[predicted_N])
    return predictions, {key: key.split("-")[0] for key in keys}


def test_people_are_drawn_with_all_their_clips() -> None:
    predictions, people = make_predictions(10, 40)
    over_people = bootstrap_interval(make_dataset(), predictions, "WAR", Bootstrap(people=people))
    over_clips = bootstrap_interval(make_dataset(), predictions, "WAR", Bootstrap(people={}))
    assert over_people is not None
    assert over_clips is not None
    assert over_people.value == over_clips.value == 0.5
    assert (over_people.low, over_people.high) == (0.2, 0.8), "of ten people, the binomial interval"
    assert over_clips.high - over_clips.low < 0.11, "400 clips as if each were another person"


def test_few_people_have_no_interval() -> None:
    predictions, people = make_predictions(4, 50)
    assert bootstrap_interval(make_dataset(), predictions, "WAR", Bootstrap(people=people)) is None
    assert bootstrap_interval(make_dataset(), *make_predictions(6, 2)[:1], "WAR", Bootstrap(people=people)) is not None
