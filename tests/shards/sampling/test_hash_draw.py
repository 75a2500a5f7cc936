"""Seeded draws never change, because existing plans, samples and shards follow from them."""

import hashlib

import pytest
from avf_shards.sampling.hash_draw import is_drawn, priority


def test_priorities_are_blake2b_digests() -> None:
    assert priority("a", 3).hex() == hashlib.blake2b(b"3:a", digest_size=8).hexdigest()
    assert priority("a", 3, 16).hex() == "4e974f1bec71d64d798dcf98e444fee5"
    assert priority("a", size=64) == hashlib.blake2b(b"a").digest()


def test_priorities_of_different_sizes_are_unrelated() -> None:
    assert not priority("a", 3, 16).startswith(priority("a", 3, 8))


def test_a_larger_share_draws_the_same_names_and_more() -> None:
    names = [f"video {number}" for number in range(4000)]
    tenth, half = ({name for name in names if is_drawn(name, 5, share)} for share in (0.1, 0.5))
    assert tenth < half
    assert len(tenth) == pytest.approx(400, abs=60)
    assert len(half) == pytest.approx(2000, abs=120)
    assert not any(is_drawn(name, 5, 0) for name in names)
    assert all(is_drawn(name, 5, 1) for name in names)
