"""Intervals are over people and hold the true value as often as they say; two runs are compared on the same people."""

from dataclasses import replace

import numpy as np
import pytest
from avf_training.evaluation.intervals import Interval, mcnemar, metric_interval, paired_difference, unit_nouns
from avf_training.evaluation.scoring import Predictions
from support.labelled import make_dataset

CLASSES = 4
DATA = make_dataset(labels=("a", "b", "c", "d"))


def make_predictions(people: int, clips: int) -> tuple[Predictions, dict[str, str]]:
    """Return predictions that are right for every clip of each second person, and for no clip of the others."""
    keys = tuple(f"{person}-{clip}" for person in range(people) for clip in range(clips))
    truth_N = np.array([clip % 2 for _ in range(people) for clip in range(clips)])
    right_N = np.array([person % 2 == 0 for person in range(people) for _ in range(clips)])
    predicted_N = np.where(right_N, truth_N, 1 - truth_N)
    predictions = Predictions(keys=keys, truth=truth_N.astype(float), scores_NJ=np.eye(2)[predicted_N])
    return predictions, {key: key.split("-")[0] for key in keys}


def test_people_are_left_out_with_all_their_clips() -> None:
    predictions, people = make_predictions(10, 40)
    over_people = metric_interval(make_dataset(), predictions, "WAR", people)
    over_clips = metric_interval(make_dataset(), predictions, "WAR", {})
    assert over_people.low == pytest.approx(0.18, abs=0.02), "half of ten people"
    assert over_people.high == pytest.approx(0.82, abs=0.02)
    assert over_clips.high - over_clips.low < 0.11, "400 clips as if each were another person"


def test_few_people_have_no_interval_but_a_reason() -> None:
    predictions, people = make_predictions(4, 50)
    interval = metric_interval(make_dataset(), predictions, "WAR", people)
    assert interval == Interval(reason="too few: 4 people, 5 are needed")
    by_session = metric_interval(
        replace(make_dataset(), split="session"), predictions, "WAR", dict.fromkeys(people, "session x")
    )
    assert by_session.reason == "too few: 1 session, 5 are needed"
    assert metric_interval(make_dataset(), *make_predictions(6, 2)[:1], "WAR", people).low is not None


def test_a_class_of_a_single_person_has_no_interval() -> None:
    predictions, people = make_predictions(10, 40)
    rows_N = np.array([not key.startswith("0-") for key in predictions.keys])
    single = replace(predictions, truth=np.where(rows_N, 0.0, predictions.truth))
    assert metric_interval(DATA, single, "UAR", people).reason == "all clips of b are of one person"
    assert metric_interval(DATA, single, "WAR", people).low is not None, "WAR asks for no class"


def simulate(random: np.random.Generator, people: int, sizes: bool) -> tuple[Predictions, dict[str, str]]:
    """Return the predictions of a model whose chance to be right differs between people and classes."""
    keys, truth, right = [], [], []
    for person in range(people):
        clips = int(60 * random.lognormal(0, 0.6)) + 12 if sizes else 60
        chances = 1 / (1 + np.exp(-(0.5 + random.normal(0, 0.8) + random.normal(0, 0.4, CLASSES))))
        classes = random.integers(CLASSES, size=clips)
        keys += [f"{person}-{clip}" for clip in range(clips)]
        truth += list(classes)
        right += list(random.random(clips) < chances[classes])
    truth_N, right_N = np.array(truth), np.array(right)
    predicted_N = np.where(right_N, truth_N, (truth_N + random.integers(1, CLASSES, len(truth_N))) % CLASSES)
    predictions = Predictions(keys=tuple(keys), truth=truth_N.astype(float), scores_NJ=np.eye(CLASSES)[predicted_N])
    return predictions, {key: key.split("-")[0] for key in keys}


# Mean of 1 / (1 + exp(-(0.5 + x))) over x with a deviation of hypot(0.8, 0.4), by Gauss-Hermite quadrature.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
TRUE_UAR = float((WEIGHTS / (1 + np.exp(-(0.5 + np.hypot(0.8, 0.4) * NODES)))).sum() / WEIGHTS.sum())


@pytest.mark.parametrize(("people", "sizes"), [(5, False), (5, True), (8, True), (20, True)])
def test_a_nominal_95_percent_interval_holds_the_true_value_as_often(people: int, sizes: bool) -> None:
    random, runs, inside = np.random.default_rng(people), 600, 0
    for _ in range(runs):
        interval = metric_interval(DATA, *_split(simulate(random, people, sizes)))
        assert interval.low is not None, interval.reason
        inside += interval.low <= TRUE_UAR <= interval.high
    # 600 draws of a 95 % interval deviate by 0.9 points; a percentile bootstrap over 5 people holds it in 80 to 84 %.
    assert 0.92 <= inside / runs <= 0.98


def _split(simulated: tuple[Predictions, dict[str, str]]) -> tuple[Predictions, str, dict[str, str]]:
    return simulated[0], "UAR", simulated[1]


def improve(random: np.random.Generator, predictions: Predictions, share: float) -> Predictions:
    """Return predictions in which a random share of the clips is right in any case."""
    improved_N1 = random.random((len(predictions.keys), 1)) < share
    right_NJ = np.eye(CLASSES)[predictions.truth.astype(int)]
    return replace(predictions, scores_NJ=np.where(improved_N1, right_NJ, predictions.scores_NJ))


def test_the_interval_of_a_difference_holds_it_as_often() -> None:
    random, runs, inside, significant = np.random.default_rng(7), 400, 0, 0
    for _ in range(runs):
        common, people = simulate(random, 6, True)
        pair = improve(random, common, 0.2), improve(random, common, 0.2)
        result = paired_difference(DATA, [pair], "UAR", people)
        assert result is not None
        assert result.interval.low is not None
        assert result.p_value is not None
        inside += result.interval.low <= 0 <= result.interval.high
        significant += result.p_value < 0.05
    assert 0.92 <= inside / runs <= 0.98
    assert significant == runs - inside, "the test and the interval say the same"


def test_a_pair_is_told_apart_where_people_alone_are_not() -> None:
    random = np.random.default_rng(3)
    common, people = simulate(random, 8, False)
    better, worse = improve(random, common, 0.3), improve(random, common, 0.05)
    alone = [metric_interval(DATA, predictions, "UAR", people) for predictions in (better, worse)]
    assert alone[0].low < alone[1].high, "both intervals overlap, because people differ more than runs"
    result = paired_difference(DATA, [(better, worse)], "UAR", people)
    assert result.interval.low > 0
    assert result.p_value < 0.01
    assert result.units == 8
    reverse = paired_difference(DATA, [(worse, better)], "UAR", people)
    assert reverse.difference == pytest.approx(-result.difference)
    test = mcnemar(better, worse)
    assert test.first_only > test.second_only
    assert test.p_value < 0.01


def test_a_pair_is_compared_on_the_clips_that_both_could_read() -> None:
    predictions, people = make_predictions(10, 4)
    part = Predictions(
        keys=predictions.keys[8:][::-1], truth=predictions.truth[8:][::-1], scores_NJ=predictions.scores_NJ[8:][::-1]
    )
    result = paired_difference(make_dataset(), [(predictions, part)], "WAR", people)
    assert (result.difference, result.units) == (0, 8)
    assert result.interval.reason == "nobody's clips change the difference"
    assert mcnemar(predictions, part).p_value == 1


def test_mcnemar_counts_the_clips_that_only_one_run_has_right() -> None:
    truth_N = np.zeros(20)
    first = Predictions(keys=tuple(map(str, range(20))), truth=truth_N, scores_NJ=np.eye(2)[[0] * 15 + [1] * 5])
    second = replace(first, scores_NJ=np.eye(2)[[0] * 5 + [1] * 14 + [0]])
    test = mcnemar(first, second)
    assert (test.first_only, test.second_only) == (10, 1)
    assert test.p_value == pytest.approx(2 * (1 + 11) / 2**11), "the exact binomial test of 1 of 11"


def test_correlations_and_many_people_have_intervals_too() -> None:
    random = np.random.default_rng(0)
    data = make_dataset(labels=(), dimensions=("arousal",), task="dimensions", metrics=("PCC", "CCC"), range=(-1, 1))
    truth_N1 = random.normal(size=(3000, 1))
    noisy_N1 = truth_N1 + random.normal(size=(3000, 1))
    predictions = Predictions(keys=tuple(map(str, range(3000))), truth=truth_N1, scores_NJ=noisy_N1)
    interval = metric_interval(data, predictions, "PCC", {})
    # Fisher's interval of a correlation of 0.707 in 3,000 samples is 0.036 wide.
    assert interval.low < 2**-0.5 < interval.high
    assert interval.high - interval.low == pytest.approx(0.036, rel=0.2), "3,000 people in 100 groups"


def test_a_class_of_two_people_that_are_put_together_has_no_interval() -> None:
    """300 people are left out three at a time: without the two who show a class, UAR is undefined."""
    predictions, people = make_predictions(300, 2)
    reasons = []
    for partner in range(1, 300):
        rows_N = np.array([int(person) in (0, partner) for person in people.values()])
        single = replace(predictions, truth=np.where(rows_N, predictions.truth, 0.0))
        interval = metric_interval(DATA, single, "UAR", people)
        difference = paired_difference(DATA, [(single, replace(single, scores_NJ=np.eye(2)[[0] * 600]))], "UAR", people)
        for each in (interval, difference.interval):
            assert each.reason or np.isfinite([each.low, each.high]).all()
        assert interval.reason == difference.interval.reason
        reasons += [interval.reason] if interval.reason else []
    assert reasons == 2 * ["all clips of b are of one person, or of few people put together"]


def test_a_correlation_that_one_person_makes_has_no_interval() -> None:
    data = make_dataset(labels=(), dimensions=("arousal",), task="dimensions", metrics=("PCC", "CCC"), range=(-1, 1))
    truth_N1 = np.array([[0.5]] * 9 + [[1.0]])  # constant without the last person
    predictions = Predictions(keys=tuple(map(str, range(10))), truth=truth_N1, scores_NJ=np.linspace(0, 1, 10)[:, None])
    reason = "the metric is undefined without some people"
    assert metric_interval(data, predictions, "PCC", {}) == Interval(reason=reason)
    other = replace(predictions, scores_NJ=np.linspace(0, 1, 10)[:, None] ** 2)
    difference = paired_difference(data, [(predictions, other)], "PCC", {})
    assert (difference.interval, difference.p_value) == (Interval(reason=reason), None)
    constant = replace(predictions, truth=np.full((10, 1), 0.5))
    assert metric_interval(data, constant, "PCC", {}) == Interval(reason="the metric is undefined")


def test_units_are_called_what_they_are() -> None:
    predictions = Predictions(keys=("a", "b", "c"), truth=np.zeros(3), scores_NJ=np.eye(3))
    people = {key: f"person corpus/{key}" for key in "abc"}
    assert unit_nouns(predictions, people) == ("person", "people")
    assert unit_nouns(predictions, dict.fromkeys("abc", "recording corpus/1")) == ("recording", "recordings")
    mixed = people | {"c": "recording corpus/1"}
    assert unit_nouns(predictions, mixed) == ("person or recording", "people or recordings")
    unnamed = {key: f"recording dfew/{key}" for key in "abc"}
    interval = metric_interval(DATA, predictions, "WAR", unnamed)
    assert interval.reason == "too few: 3 recordings, 5 are needed"
