"""Windows become a file by each rule as computed by hand."""

import pytest
from avf_training.models.pooling import POOLS, Pool, pool_windows


@pytest.mark.parametrize(
    ("pool", "value"), [("mean", 0.4), ("max", 0.8), ("top2", 0.55), ("noisy_or", 1 - 0.2 * 0.7 * 0.9)]
)
def test_each_rule_is_as_by_hand(pool: Pool, value: float) -> None:
    windows = [0.3, 0.1, 0.8]
    assert pool_windows(windows, pool) == pytest.approx(sum(windows) / 3 if pool == "mean" else value)


@pytest.mark.parametrize("pool", POOLS)
def test_one_window_is_its_own_file(pool: Pool) -> None:
    assert pool_windows([0.37], pool) == pytest.approx(0.37)
    assert 0 <= pool_windows([1.0] * 500, pool) <= 1
    with pytest.raises(ValueError, match="without a window"):
        pool_windows([], pool)


def test_many_unlikely_windows_still_have_an_order() -> None:
    assert pool_windows([1e-9] * 3, "noisy_or") > pool_windows([1e-9] * 2, "noisy_or") > 1e-9
