"""Near-duplicates: a recording is selected once for any corpus and any cut, and no other clip is dropped."""

import numpy as np
import pytest
from avf_shards.packing.near_duplicates import Fingerprint, NearDuplicateConfig, NearDuplicateIndex
from avf_shards.packing.selection import Selection, SourceSelection, select_clips
from support.ledgers import make_ledger


def random_fingerprint(seed: int, frames: int) -> Fingerprint:
    return np.random.default_rng(seed).integers(0, 2**32, frames, np.uint32)


def distort_fingerprint(words: Fingerprint, share: float) -> Fingerprint:
    """Flip about this share of the words' bits, unevenly over time, as noise in sound does."""
    draw = np.random.default_rng(1)
    rate_T = np.clip(draw.exponential(share, len(words)), 0, 0.5)
    flips = (draw.random((len(words), 32)) < rate_T[:, None]) @ (1 << np.arange(32, dtype=np.uint64))
    return words ^ flips.astype(np.uint32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_recording_is_matched_at_any_offset_and_others_are_not(seed: int) -> None:
    fingerprints = {f"a-{n}": random_fingerprint(n, 200) for n in range(50)}
    fingerprints["b-0"] = distort_fingerprint(fingerprints["a-7"][40:], 0.1)
    fingerprints["b-1"] = distort_fingerprint(fingerprints["a-9"][:120], 0.1)
    shared = fingerprints["a-3"][:30]  # too few frames
    fingerprints["b-2"] = np.concatenate([random_fingerprint(99, 170), shared])
    groups = {key: key for key in fingerprints}
    index = NearDuplicateIndex(fingerprints, groups, NearDuplicateConfig(), seed)
    keys = set(fingerprints)
    matches = {key: duplicate.duplicate_of for key in keys if (duplicate := index.find(key, keys - {key}))}
    assert matches == {"a-7": "b-0", "b-0": "a-7", "a-9": "b-1", "b-1": "a-9"}
    assert index.find("b-0", {"a-1"}) is None
    one_video = NearDuplicateIndex(fingerprints, groups | {"b-0": "video", "a-7": "video"}, NearDuplicateConfig(), seed)
    assert one_video.find("b-0", keys) is None


def test_a_duplicate_is_dropped_only_for_a_selected_clip() -> None:
    table = make_ledger({"a": [5.0] * 40, "b": [5.0] * 40})
    keys = [keys[0] for keys in table["clips"].to_pylist()]
    # Clip n of source a and clip n of source b are the same recording.
    fingerprints = {key: random_fingerprint(int(key.split("-")[1], 16), 100) for key in keys}
    for quota in (None, 25):
        selection = Selection(
            seed=3,
            near_duplicates=NearDuplicateConfig(),
            sources={"a": SourceSelection(quota=quota), "b": SourceSelection(quota=quota)},
        )
        result = select_clips(table, selection, fingerprints)
        selected = [row[0] for clips in result.clips.values() for row in clips]
        recordings = [key.split("-")[1] for key in selected]
        assert len(set(recordings)) == len(recordings) == 40
        near_duplicates = [clip for clip in result.rejected if clip.reason == "near_duplicate"]
        assert all(clip.duplicate_of in selected and clip.score == 0.0 for clip in near_duplicates)
        for name in "ab":
            rows = [row for row in result.as_table().to_pylist() if row["key"].startswith(name)]
            assert len(rows) == 40
            assert 10 <= sum(row["selected"] for row in rows) <= 30


def test_the_same_seed_selects_the_same_clips() -> None:
    table = make_ledger({"a": [5.0] * 40, "b": [5.0] * 40})
    keys = [keys[0] for keys in table["clips"].to_pylist()]
    fingerprints = {key: random_fingerprint(int(key.split("-")[1], 16), 100) for key in keys}
    selection = Selection(seed=3, near_duplicates=NearDuplicateConfig())
    assert select_clips(table, selection, fingerprints) == select_clips(
        table, selection, dict(reversed(fingerprints.items()))
    )
    assert select_clips(table, selection, fingerprints) != select_clips(
        table, Selection(seed=4, near_duplicates=NearDuplicateConfig()), fingerprints
    )
