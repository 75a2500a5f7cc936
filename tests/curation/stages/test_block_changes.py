"""The change of each block is the exact mean of its differences."""

import numpy as np
import pytest
from avf_curation.stages.block_changes import change_by_block


@pytest.mark.parametrize(("shape", "block"), [((48, 80), (6, 10)), ((53, 47), (7, 5)), ((300, 310), (260, 300))])
def test_a_block_changes_by_the_mean_of_its_differences(shape: tuple[int, int], block: tuple[int, int]) -> None:
    """The last block has sums beyond 2 ** 24, which 32-bit floating point would round."""
    draw = np.random.default_rng(0)
    before, after = (draw.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
    before[: block[0]], after[: block[0]] = 0, 255
    before[0, 0] = 1
    rows, columns = (side // of_block for side, of_block in zip(shape, block, strict=True))
    changes = np.abs(after.astype(int) - before)[: rows * block[0], : columns * block[1]]
    expected = changes.reshape(rows, block[0], columns, block[1]).mean((1, 3))
    assert np.array_equal(change_by_block(before, after, *block), expected)
    assert np.array_equal(change_by_block(after, before, *block), expected)
