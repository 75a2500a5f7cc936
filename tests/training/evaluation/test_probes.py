"""Probes answer as their formulas say, and read what features hold and nothing else."""

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.evaluation.probes import PROBES, FrozenFeatures, ProbeConfig, ProbeName, check_probes, knn, run_probe

CLASSES = 3


def make_features(labels: np.ndarray, seed: int, signal: float) -> FrozenFeatures:
    """Return tokens in which one of eight has the label's direction, by modality."""
    random = torch.Generator().manual_seed(seed)
    tokens = {name: torch.randn(len(labels), 8, 16, generator=random) for name in ("video", "audio")}
    for row, label in enumerate(labels.tolist()):
        tokens["video"][row, row % 8, label] += signal
    return FrozenFeatures(
        keys=tuple(f"k{seed}-{row}" for row in range(len(labels))),
        pooled={name: value.mean(1) for name, value in tokens.items()},
        tokens=tokens,
    )


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_reads_what_is_there_and_nothing_that_is_not(name: ProbeName) -> None:
    train_N, test_M = np.arange(120) % CLASSES, np.arange(90) % CLASSES
    shares = {}
    for signal in (0.0, 40.0):
        train, test = make_features(train_N, 1, signal), make_features(test_M, 2, signal)
        scores_MJ = run_probe(name, train, train_N.astype(float), test, classes=CLASSES, config=ProbeConfig())
        assert scores_MJ.sum(1) == pytest.approx(np.ones(90))
        shares[signal] = (scores_MJ.argmax(1) == test_M).mean()
    assert shares[40.0] > 0.95
    assert 0.15 < shares[0.0] < 0.52, "chance is a third"


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_regresses_dimensions(name: ProbeName) -> None:
    random = np.random.default_rng(0)
    train_N1, test_M1 = random.uniform(-1, 1, (150, 1)), random.uniform(-1, 1, (60, 1))

    def features(values: np.ndarray, seed: int) -> FrozenFeatures:
        plain = make_features(np.zeros(len(values), int), seed, 0.0)
        shift = torch.tensor(values, dtype=torch.float32)[:, :, None]
        tokens = {name: value + 4 * shift for name, value in plain.tokens.items()}
        return FrozenFeatures(keys=plain.keys, pooled={k: v.mean(1) for k, v in tokens.items()}, tokens=tokens)

    scores_M1 = run_probe(name, features(train_N1, 1), train_N1, features(test_M1, 2), classes=0, config=ProbeConfig())
    assert scores_M1.shape == test_M1.shape
    assert np.corrcoef(scores_M1[:, 0], test_M1[:, 0])[0, 1] > 0.9


def test_neighbours_vote_by_the_formula() -> None:
    random = np.random.default_rng(5)
    train_NC, test_MC, truth_N = random.normal(size=(30, 4)), random.normal(size=(6, 4)), np.arange(30) % CLASSES
    scores_MJ = knn(train_NC, truth_N.astype(float), test_MC, classes=CLASSES, neighbours=5)
    for row, test_C in enumerate(test_MC):
        cosines = [float(test_C @ each / np.sqrt(test_C @ test_C) / np.sqrt(each @ each)) for each in train_NC]
        nearest = sorted(range(30), key=lambda n: -cosines[n])[:5]
        votes = [sum(np.exp(cosines[n] / 0.07) for n in nearest if truth_N[n] == c) for c in range(CLASSES)]
        assert scores_MJ[row] == pytest.approx(np.array(votes) / sum(votes))


def test_the_linear_probe_minimizes_its_objective() -> None:
    train_N = np.arange(60) % 2
    train = make_features(train_N, 1, 3.0)
    scores_MJ = run_probe("linear", train, train_N.astype(float), train, classes=2, config=ProbeConfig())
    x_NC = train.joined()
    x_NC = (x_NC - x_NC.mean(0)) / x_NC.std(0)
    # At the least of sum of losses + |w|^2 / 2 the gradient is 0: w = sum over clips of (truth - p) x.
    weights = ((train_N - scores_MJ[:, 1])[:, None] * x_NC).sum(0)
    margins = x_NC @ weights
    logits = np.log(scores_MJ[:, 1] / scores_MJ[:, 0])
    assert logits - margins == pytest.approx(np.full(60, (logits - margins).mean()), abs=1e-3)


def test_a_probe_is_reproducible_and_disturbs_no_random_numbers() -> None:
    train_N = np.arange(30) % CLASSES
    features = make_features(train_N, 1, 5.0)

    def run(seed: int) -> np.ndarray:
        config = ProbeConfig(seed=seed)
        return run_probe("attentive", features, train_N.astype(float), features, classes=CLASSES, config=config)

    torch.manual_seed(9)
    state = torch.random.get_rng_state()
    first = run(0)
    assert (torch.random.get_rng_state() == state).all()
    assert (run(0) == first).all()
    assert (run(1) != first).any()


def test_unknown_probes_are_named() -> None:
    assert check_probes(["knn", "linear"]) == ["linear", "knn"]
    with pytest.raises(UserError, match="no such probe: svm; the probes are linear, knn, attentive"):
        check_probes(["linear", "svm"])
    with pytest.raises(UserError, match="neighbours 0 must be at least 1"):
        ProbeConfig(neighbours=0)
