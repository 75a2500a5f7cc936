"""Sampling by class has the promised counts in every epoch, and is a pure function of the position in the stream."""

from itertools import pairwise

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import rank_steps
from avf_training.config.finetune import load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.tasks.class_imbalance import ClassSampling, class_weights, epoch_counts, log_priors
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.sampling import ClassOrder, TrainingOrder
from avf_training.tasks.task import fold_task
from avf_training.tasks.train_share import take_share
from support.labelled import make_dataset, make_label_rows, make_labelled_shards

COUNTS = [20, 3, 1]  # clips of each class


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    folder = make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(6, 2)})
    return LabelledShards([folder], StorageConfig())


def make_order(shards: LabelledShards, sampling: ClassSampling = "balanced", repeats: int = 1) -> ClassOrder:
    class_P = np.repeat(range(len(COUNTS)), COUNTS).tolist()
    class_of = dict(zip(range(sum(COUNTS)), class_P, strict=True))
    return ClassOrder(shards.corpus, class_of, epoch_counts(COUNTS, sampling), 7, repeats=repeats, batch=8)


def class_of(clips: np.ndarray) -> list[int]:
    return np.searchsorted(np.cumsum(COUNTS), clips, "right").tolist()


@pytest.mark.parametrize(
    ("sampling", "expected"), [("natural", [20, 3, 1]), ("balanced", [8, 8, 8]), ("square_root", [15, 6, 3])]
)
def test_each_epoch_has_the_promised_clips_of_each_class(
    shards: LabelledShards, sampling: ClassSampling, expected: list[int]
) -> None:
    # Square roots 4.472, 1.732 and 1 have the shares 14.90, 5.77 and 3.33 of 24 clips.
    order = make_order(shards, sampling)
    for epoch in range(3):
        assert np.bincount(class_of(order.epoch(epoch).clip_P), minlength=3).tolist() == expected
    assert len(order) == 24


def test_a_class_shows_all_its_clips_before_any_comes_again(shards: LabelledShards) -> None:
    order = make_order(shards)
    large = [clip for epoch in range(5) for clip in order.epoch(epoch).clip_P.tolist() if clip < 20]
    assert len(large) == 5 * 8
    assert sorted(large) == sorted([*range(20), *range(20)]), "five epochs of 8 are two passes over 20 clips"


def test_repeats_of_a_clip_belong_to_the_epoch_of_its_class(shards: LabelledShards) -> None:
    once, twice = make_order(shards).epoch(0).clip_P, make_order(shards, repeats=2).epoch(0).clip_P
    assert len(twice) == 2 * len(once)
    assert np.bincount(class_of(twice)).tolist() == [16, 16, 16]


@pytest.mark.parametrize(("clips", "batch", "repeats"), [(24, 8, 2), (23, 6, 2), (20, 7, 3), (24, 5, 1)])
def test_a_step_has_each_of_its_clips_as_often_as_it_is_repeated(
    shards: LabelledShards, clips: int, batch: int, repeats: int
) -> None:
    order = TrainingOrder(shards.corpus, range(clips), 7, repeats=repeats, batch=batch)
    steps = 3 * clips // batch
    whole, _ = order.clips_between(0, steps * batch * repeats)
    distinct = [step[:batch] for step in whole.reshape(steps, batch * repeats)]
    for step, first in zip(whole.reshape(steps, repeats, batch), distinct, strict=True):
        assert (step == first).all(), "the same clips in the same order"
    sequence = np.concatenate(distinct)
    for number in range(len(sequence) // clips):
        assert sorted(sequence[number * clips : (number + 1) * clips]) == list(range(clips)), "each clip once a pass"
    if batch * repeats % 2 == 0:
        pairs = whole[: len(whole) // 2 * 2].reshape(-1, 2)
        inside = np.arange(len(pairs)) * 2 // (batch * repeats)
        crossing = sequence.reshape(-1, batch)
        for (first, second), step in zip(pairs.tolist(), inside.tolist(), strict=True):
            assert first != second or len(set(crossing[step].tolist())) < batch, "no clip is mixed with itself"


@pytest.mark.parametrize("world", [1, 2, 4])
def test_any_world_and_any_start_read_the_same_clips(shards: LabelledShards, world: int) -> None:
    whole, _ = make_order(shards).clips_between(0, 60)
    resumed = make_order(shards)  # a new process, which has computed no epoch before
    parts = [list(rank_steps(resumed, 20, 10, batch=4, world=world, rank=rank)) for rank in range(world)]
    for step in range(10):
        clips = np.concatenate(
            [resumed.clips_between(parts[rank][step].start, parts[rank][step].stop)[0] for rank in range(world)]
        )
        assert clips.tolist() == whole[20 + 4 * step : 24 + 4 * step].tolist()


def test_another_sampling_is_another_order(shards: LabelledShards) -> None:
    plain = TrainingOrder(shards.corpus, range(24), 7)
    digests = {plain.digest, make_order(shards).digest, make_order(shards, "square_root").digest}
    assert len(digests) == 3


def test_weights_have_the_mean_1_over_the_clips_of_an_epoch() -> None:
    for sampling in ("natural", "square_root", "balanced"):
        counts = epoch_counts(COUNTS, sampling)
        for kind in ("none", "square_root", "balanced"):
            assert np.average(class_weights(counts, kind), weights=counts) == pytest.approx(1)
    assert class_weights(COUNTS, "balanced") * COUNTS == pytest.approx([8, 8, 8])
    assert class_weights([16, 4], "square_root") == pytest.approx([20 / 24, 40 / 24])
    assert class_weights([8, 0], "balanced").tolist() == [1, 0]
    assert class_weights(epoch_counts(COUNTS, "balanced"), "balanced") == pytest.approx([1, 1, 1]), "corrected once"


def test_priors_are_shares_of_an_epoch() -> None:
    assert np.exp(log_priors(COUNTS)) == pytest.approx([20 / 24, 3 / 24, 1 / 24])
    assert np.isfinite(log_priors([3, 0])).all()


def test_runs_of_earlier_versions_keep_their_identity() -> None:
    plain = load_finetune_recipe("finetune", "nano")
    assert {"imbalance", "score_test"}.isdisjoint(plain.frozen())
    changed = load_finetune_recipe("finetune", "nano", ["imbalance.sampling=balanced", "score_test=false"])
    assert changed.frozen()["imbalance"]["sampling"] == "balanced"
    assert changed.frozen()["score_test"] is False
    with pytest.raises(UserError, match="focal -1 must be 0 to 10"):
        load_finetune_recipe("finetune", "nano", ["imbalance.focal=-1"])


def test_a_share_of_the_training_clips_is_nested_and_has_every_class(shards: LabelledShards) -> None:
    task = fold_task(make_dataset(), shards, 1, "av", 0.0)
    parts = [take_share(task, share) for share in (0.01, 0.25, 0.5, 1.0)]
    for smaller, larger in pairwise(parts):
        assert set(smaller.train) < set(larger.train)
    assert parts[-1] is task
    assert sorted(task.truth[key] for key in parts[0].train) == [0, 1]
    assert len(parts[2].train) == len(task.train) // 2
    assert [part.epoch_clips for part in parts[:-1]] == [len(task.train)] * 3
    assert all(part.test == task.test for part in parts)


def test_an_epoch_of_a_share_is_as_long_as_of_all_clips(shards: LabelledShards) -> None:
    order = ClassOrder(shards.corpus, dict.fromkeys([3, 5, 8], 0), [24], 7)
    assert len(order) == 24
    assert np.bincount(order.epoch(1).clip_P).tolist() == [0, 0, 0, 8, 0, 8, 0, 0, 8]
