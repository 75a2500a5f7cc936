"""The stream order: every clip once, every prefix on its quotas, and the same for any number of ranks."""

import re
from pathlib import Path

import numpy as np
import pytest
from avf_shards.cli.main import main
from avf_shards.errors import UserError
from avf_shards.format.corpus import Corpus, Source, load_corpus
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.sampling.mixture import Mixture, interleave, shares, source_quotas
from avf_shards.sampling.stream_order import BLOCK_SHARDS, StreamOrder, rank_steps, stream_digest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import make_run


def corpus(*clips: int, per_shard: int = 4) -> Corpus:
    """A corpus of made-up sources with so many clips each."""
    sources, first, shards = [], [0], 0
    for number, count in enumerate(clips):
        sizes = [min(per_shard, count - offset) for offset in range(0, count, per_shard)]
        sources.append(
            Source(
                name=f"s{number}",
                shards=np.arange(shards, shards + len(sizes)),
                clips=np.array(sizes),
                seconds=4.0 * count,
            )
        )
        shards += len(sizes)
        first += (first[-1] + np.cumsum(sizes)).tolist()
    names = tuple(f"{n}.tar" for n in range(shards))
    return Corpus(digest="d" * 64, shards=names, index_sha256=names, first_clip=np.array(first), sources=tuple(sources))


def largest_quota_error(source_P: np.ndarray, quotas: list[int]) -> float:
    positions = np.arange(1, len(source_P) + 1)
    return max(np.abs(np.cumsum(source_P == s) - positions * q / len(source_P)).max() for s, q in enumerate(quotas))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=24).filter(any))
def test_every_prefix_is_within_one_clip_of_the_quotas(quotas: list[int]) -> None:
    source_P = interleave(quotas)
    assert np.bincount(source_P, minlength=len(quotas)).tolist() == quotas
    assert largest_quota_error(source_P, quotas) <= 1 + 1e-9


def test_unequal_quotas_stay_on_target() -> None:
    for quotas in ([515_000, 371_000, 370_000, 85_000, 18_000], [5000, *([1] * 40)], [3000, *([7] * 25), 1]):
        assert largest_quota_error(interleave(quotas), quotas) <= 1 + 1e-9


def test_an_epoch_has_every_clip_once_and_epochs_differ() -> None:
    order = StreamOrder(corpus(37, 11, 5), Mixture(), 3)
    first, second = order.epoch(0).clip_P, order.epoch(1).clip_P
    assert sorted(first) == sorted(second) == list(range(53))
    assert (first != second).any()
    assert (StreamOrder(corpus(37, 11, 5), Mixture(), 3).epoch(1).clip_P == second).all()
    assert (StreamOrder(corpus(37, 11, 5), Mixture(), 4).epoch(1).clip_P != second).any()


def test_reads_stay_within_a_block_of_shards() -> None:
    clips = corpus(4 * 100)
    shards = np.array([clips.locate(int(clip))[0] for clip in StreamOrder(clips, Mixture(), 0).epoch(0).clip_P])
    for start in range(0, 400, 4 * BLOCK_SHARDS):
        assert len(set(shards[start : start + 4 * BLOCK_SHARDS])) <= BLOCK_SHARDS


def test_a_small_quota_takes_the_next_part_each_epoch_and_a_large_quota_repeats_clips() -> None:
    order = StreamOrder(corpus(20, 6), Mixture(quotas={"s0": 8, "s1": 9}), 1)
    assert len(order) == 17
    clips_by_source = [[order.epoch(e).clip_P[order.epoch(e).source_P == s].tolist() for e in range(5)] for s in (0, 1)]
    assert len({*clips_by_source[0][0], *clips_by_source[0][1]}) == 16
    assert sorted(clip for epoch in clips_by_source[0] for clip in epoch) == sorted([*range(20), *range(20)])
    assert sorted(clips_by_source[1][0] + clips_by_source[1][1]) == sorted([*range(20, 26)] * 3)


def test_weights_become_integer_quotas() -> None:
    assert source_quotas(corpus(20, 6, 9), Mixture(weights={"s0": 1, "s2": 2}, clips_per_epoch=100)) == [33, 0, 67]
    assert shares([1, 1, 1], 100) == [34, 33, 33]
    with pytest.raises(UserError, match="unknown source of these shards; did you mean 's0'"):
        source_quotas(corpus(20), Mixture(weights={"s00": 1}))
    with pytest.raises(ValueError, match="both given"):
        Mixture(quotas={"a": 1}, weights={"a": 1})


def test_the_global_order_does_not_depend_on_the_number_of_ranks() -> None:
    order = StreamOrder(corpus(90, 31, 14), Mixture(), 0)
    global_order, _ = order.clips_between(0, 24 * 40)
    for start in range(0, 24 * 20, 7):
        for world in (1, 2, 3, 4, 8):
            ranks = [list(rank_steps(order, start, 3, batch=24, world=world, rank=rank)) for rank in range(world)]
            delivered = [order.clips_between(p.start, p.stop)[0] for step in zip(*ranks, strict=True) for p in step]
            assert np.concatenate(delivered).tolist() == global_order[start : start + 72].tolist()
    with pytest.raises(UserError, match=r"batch of 24 cannot be shared by 5 ranks; these numbers fit: \[1, 2, 3, 4"):
        stream_digest(order, 0, 1, 24, 5)


def test_a_substitute_is_deterministic_and_of_the_same_source() -> None:
    order = StreamOrder(corpus(90, 31, 14), Mixture(), 0)
    substitutes = [order.substitute(1, 0, position, 1) for position in range(200)]
    assert set(substitutes) <= set(range(90, 121))
    assert len(set(substitutes)) > 25
    assert substitutes == [
        StreamOrder(corpus(90, 31, 14), Mixture(), 0).substitute(1, 0, position, 1) for position in range(200)
    ]
    assert order.substitute(1, 0, 3, 2) != order.substitute(1, 0, 3, 1)


def test_a_million_clips_appear_once_each() -> None:
    order = StreamOrder(corpus(515_000, 371_000, 370_000, 85_000, 18_000, per_shard=512), Mixture(), 0)
    assert len(np.unique(order.epoch(7).clip_P)) == 1_359_000


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    pack_shards(make_run(folder, videos=15), folder / "shards", Selection(clips_per_shard=4))
    return folder / "shards"


def test_the_command_prints_the_same_digest_for_any_number_of_ranks(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = set()
    for world in (1, 2, 3, 4, 8):
        arguments = ["order", str(shards), "--world", str(world), "--batch", "24", "--steps", "50", "--digest"]
        assert main(arguments) == 0
        digests.add(capsys.readouterr().out)
    assert len(digests) == 1
    assert re.fullmatch(r"[0-9a-f]{64}\n", digests.pop())
    assert main(["order", str(shards), "--batch", "6", "--seed", "1"]) == 0
    assert "5 steps of 6 from epoch 0, seed 1" in capsys.readouterr().out


def test_the_digest_depends_on_the_content(shards: Path, tmp_path: Path) -> None:
    pack_shards(make_run(tmp_path, videos=14), tmp_path / "shards", Selection(clips_per_shard=4))
    first, second = load_corpus(shards), load_corpus(tmp_path / "shards")
    assert first.digest != second.digest
    assert StreamOrder(first, Mixture(), 0).digest != StreamOrder(first, Mixture(), 1).digest
    assert StreamOrder(first, Mixture(), 0).digest != StreamOrder(first, Mixture(quotas={"made": 5}), 0).digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--world", "5"], "cannot be shared by 5 ranks"),
        (["--batch", "0"], "global batch of 0"),
        (["--quota", "made"], "'made' must look like SOURCE=NUMBER"),
        (["--quota", "mode=3"], "did you mean 'made'"),
        (["--weight", "made=-1"], "must be a number above 0"),
        (["--weight", "made=nan"], "must be a number above 0"),
        (["--steps", "-1"], "--steps -1"),
    ],
)
def test_invalid_requests_are_refused_with_the_reason(
    shards: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", str(shards), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_shards_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order", str(tmp_path)]) == 2
    assert "has no manifest.json" in capsys.readouterr().err


def test_a_share_of_the_clips_is_nested_and_leaves_the_epoch_as_long() -> None:
    clips = corpus(90, 31, 14)
    whole = StreamOrder(clips, Mixture(), 0)
    taken = {}
    for share in (0.1, 0.3, 1.0):
        order = StreamOrder(clips, Mixture(share=share), 0)
        assert len(order) == len(whole)
        epochs = np.concatenate([order.epoch(number).clip_P for number in range(2)])
        taken[share] = set(epochs.tolist())
        assert {clip for clip in range(135) if order.takes(np.array([clip]))[0]} == taken[share]
        assert {order.substitute(0, 0, position, 1) for position in range(50)} <= taken[share]
        counts = np.bincount(epochs[epochs < 90], minlength=90)
        assert np.ptp(counts[counts > 0]) <= 1, "no clip comes again before all came"
    assert taken[0.1] < taken[0.3] < taken[1.0] == set(range(135))
    assert [len(taken[0.1] & set(range(*ends))) for ends in ((0, 90), (90, 121), (121, 135))] == [9, 3, 1]
    assert {*StreamOrder(clips, Mixture(share=0.3), 5).epoch(0).clip_P.tolist()} == taken[0.3], "whatever the seed"
    assert StreamOrder(clips, Mixture(share=1.0), 0).digest == whole.digest
    with pytest.raises(ValueError, match="share 0 must be above 0"):
        Mixture(share=0.0)
