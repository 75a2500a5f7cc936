"""Fréchet and kernel distances equal those of the field's own code, and moments of parts those of the sum."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_shards.errors import FaultError, UserError
from avf_training.frechet.distance import frechet_distance, kernel_distance
from avf_training.frechet.moments import FeatureMoments


def read_oracle(shared: Path, name: str) -> tuple[Any, Any, dict[str, Any]]:
    folder = shared / "oracles/applications"
    values: dict[str, Any] = json.loads((folder / "frechet.json").read_text())[name]
    with np.load(folder / "frechet.npz") as arrays:
        return arrays[f"{name}.a"], arrays[f"{name}.b"], values


@pytest.mark.real
@pytest.mark.parametrize("name", ["full", "same", "shifted", "few"])
def test_distances_are_those_of_the_field(shared: Path, name: str) -> None:
    first_NC, second_NC, oracle = read_oracle(shared, name)
    moments = FeatureMoments.of(first_NC), FeatureMoments.of(second_NC)
    tolerance = 1e-6 if name == "few" else 1e-9
    for key in ("exact_unbiased", "cleanfid", "cdfvd_svd", "torchmetrics"):
        assert frechet_distance(*moments) == pytest.approx(oracle[key], rel=tolerance, abs=tolerance)
    assert frechet_distance(*moments, ddof=0) == pytest.approx(oracle["styleganv_biased"], rel=1e-6, abs=1e-6)
    if name == "few":  # clean-fid draws five of the seven samples of the larger set
        subsets = [second_NC[list(rows)] for rows in itertools.combinations(range(7), 5)]
        distances = [kernel_distance(first_NC, subset) for subset in subsets]
        assert min(abs(each - oracle["kid_all"]) for each in distances) < 1e-9
    else:
        assert kernel_distance(first_NC, second_NC) == pytest.approx(oracle["kid_all"], rel=1e-9)


@pytest.mark.real
def test_the_distance_of_diagonal_distributions_is_that_by_hand(shared: Path) -> None:
    oracle = json.loads((shared / "oracles/applications/frechet.json").read_text())["diagonal"]
    first, second = (
        FeatureMoments(count=11, mean_C=np.array(oracle[f"mu{n}"]), scatter_CC=10 * np.diag(oracle[f"var{n}"]))
        for n in (1, 2)
    )
    assert frechet_distance(first, second) == pytest.approx(oracle["exact"], rel=1e-12)


def test_the_distance_of_shifted_and_scaled_normals_is_known() -> None:
    """|shift|^2 + sum of (s1 - s2)^2 where the covariances commute."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(500, 4))
    moments = FeatureMoments.of(x), FeatureMoments.of(3 * x + 2 - 3 * x.mean(0) + x.mean(0))
    expected = 4 * 2**2 + sum((3 - 1) ** 2 * np.diag(np.cov(x.T)))
    assert frechet_distance(*moments) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(moments[0], moments[0]) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_moments_of_parts_are_those_of_all(parts: int) -> None:
    """Also far from zero, where a sum of squares would lose all digits."""
    values = np.random.default_rng(1).normal(1e6, 1, (60, 5))
    total = FeatureMoments.of(values[: 60 // parts])
    for start in range(60 // parts, 60, 60 // parts):
        total += FeatureMoments.of(values[start : start + 60 // parts])
    assert total.count == 60
    np.testing.assert_allclose(total.mean_C, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(total.covariance(1), np.cov(values.T), rtol=1e-6, atol=1e-9)
    merged = FeatureMoments.of(values[40:]) + FeatureMoments.of(values[:40])
    np.testing.assert_allclose(merged.covariance(0), np.cov(values.T, ddof=0), rtol=1e-6, atol=1e-9)


def test_the_kernel_distance_in_blocks_is_that_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(2)
    first, second = draw.normal(size=(10, 3)), draw.normal(0.5, 1, (13, 3))
    at_once = kernel_distance(first, second)
    monkeypatch.setattr("avf_training.frechet.distance._ROWS", 4)
    assert kernel_distance(first, second) == pytest.approx(at_once, rel=1e-12)
    assert abs(kernel_distance(first, first + 0)) > 0, "the estimator is unbiased, not zero for equal sets"


def test_features_that_give_no_distance_are_refused() -> None:
    with pytest.raises(FaultError, match="not finite"):
        FeatureMoments.of(np.array([[1.0, np.nan]]))
    single = FeatureMoments.of(np.ones((1, 2)))
    with pytest.raises(UserError, match="1 sample has no covariance"):
        frechet_distance(single, single)
    with pytest.raises(UserError, match="1 sample has no kernel distance"):
        kernel_distance(np.ones((1, 2)), np.ones((5, 2)))
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(FeatureMoments.of(np.eye(2)), FeatureMoments.of(np.eye(3)))
