"""Near-duplicates: a recording is selected once for any corpus and any cut, and no other clip is dropped."""

import numpy as np
import pytest
from avf_shards.packing.near_duplicates import Fingerprint, NearDuplicateConfig, NearDuplicateIndex
from avf_shards.packing.selection import Selection, SourceSelection, select_clips
from support.ledgers import make_ledger


def random_fingerprint(seed: int, frames: int) -> Fingerprint:
    return np.random.default_rng(seed).integers(0, 2**32, frames, np.uint32)


def distort_fingerprint(words: Fingerprint, share: float) -> Fingerprint:
    """The words with about this share of their bits turned over, unevenly, as sound does it."""
    draw = np.random.default_rng(1)
    rate_T = np.clip(draw.exponential(share, len(words)), 0, 0.5)
    flips = (draw.random((len(words), 32)) < rate_T[:, None]) @ (1 << np.arange(32, dtype=np.uint64))
    return words ^ flips.astype(np.uint32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_recording_is_matched_at_any_offset_and_others_are_not(seed: int) -> None:
    prints = {f"a-{n}": random_fingerprint(n, 200) for n in range(50)}
    prints["b-0"] = distort_fingerprint(prints["a-7"][40:], 0.1)
    prints["b-1"] = distort_fingerprint(prints["a-9"][:120], 0.1)
    prints["b-2"] = np.concatenate([random_fingerprint(99, 170), prints["a-3"][:30]])  # 30 frames shared: too few
    groups = {key: key for key in prints}
    twins = NearDuplicateIndex(prints, groups, NearDuplicateConfig(), seed)
    everyone = set(prints)
    found = {key: twin.duplicate_of for key in prints if (twin := twins.find(key, everyone - {key}))}
    assert found == {"a-7": "b-0", "b-0": "a-7", "a-9": "b-1", "b-1": "a-9"}
    assert twins.find("b-0", {"a-1"}) is None
    apart = NearDuplicateIndex(prints, groups | {"b-0": "film", "a-7": "film"}, NearDuplicateConfig(), seed)
    assert apart.find("b-0", everyone) is None


def test_a_duplicate_is_dropped_only_for_a_selected_clip() -> None:
    table = make_ledger({"a": [5.0] * 40, "b": [5.0] * 40})
    keys = [keys[0] for keys in table["clips"].to_pylist()]
    prints = {key: random_fingerprint(int(key.split("-")[1], 16), 100) for key in keys}  # clip n of a is clip n of b
    for quota in (None, 25):
        wanted = Selection(
            seed=3,
            near_duplicates=NearDuplicateConfig(),
            sources={"a": SourceSelection(quota=quota), "b": SourceSelection(quota=quota)},
        )
        choice = select_clips(table, wanted, prints)
        taken = [row[0] for clips in choice.clips.values() for row in clips]
        recordings = [key.split("-")[1] for key in taken]
        assert len(set(recordings)) == len(recordings) == 40
        near = [one for one in choice.rejected if one.reason == "near_duplicate"]
        assert all(one.duplicate_of in taken and one.score == 0.0 for one in near)
        for name in "ab":
            mine = [row for row in choice.as_table().to_pylist() if row["key"].startswith(name)]
            assert len(mine) == 40
            assert 10 <= sum(row["selected"] for row in mine) <= 30


def test_the_same_seed_selects_the_same_clips() -> None:
    table = make_ledger({"a": [5.0] * 40, "b": [5.0] * 40})
    keys = [keys[0] for keys in table["clips"].to_pylist()]
    prints = {key: random_fingerprint(int(key.split("-")[1], 16), 100) for key in keys}
    wanted = Selection(seed=3, near_duplicates=NearDuplicateConfig())
    assert select_clips(table, wanted, prints) == select_clips(table, wanted, dict(reversed(prints.items())))
    assert select_clips(table, wanted, prints) != select_clips(
        table, Selection(seed=4, near_duplicates=NearDuplicateConfig()), prints
    )
