"""A stream resumes from any step, with any number of ranks and workers, to the same clips and the same draws."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.packing.lineage import trace_clips
from avf_shards.sampling.mixture import Mixture
from avf_training.data.batch import Batch
from avf_training.data.clip import Clip
from avf_training.data.finetuning_sampler import finetuning_input
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import (
    PretrainingBatch,
    PretrainingParams,
    PretrainingSampler,
    pretraining_input,
)
from avf_training.data.stream import ClipStream
from avf_training.distributed.environment import launched_world
from avf_training.models.mask_sampling import paper_masks
from support.clips import make_flashing_shards
from support.streams import (
    MODEL,
    batch_contents,
    finetuning_sampler,
    make_stream_loader,
    next_global_batch,
    pretraining_sampler,
)
from support.waiting import wait_until

WORLDS, WORKERS, BATCH = (1, 2, 3, 4, 8), (0, 1, 3), 24
STAGES = {"pretraining": pretraining_sampler(), "finetuning": finetuning_sampler()}
Steps = list[list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("elastic"), {"a": 31, "b": 14, "c": 5})


@pytest.fixture(scope="module")
def undisturbed(shards: Path) -> dict[str, Steps]:
    """Eight steps (almost four epochs of 50 clips) of each stage, one process."""
    batches = {}
    for stage, draws in STAGES.items():
        stream = iter(make_stream_loader(shards, draws, BATCH))
        batches[stage] = [batch_contents(next(stream)) for _ in range(8)]
    return batches


def worlds_of_streams() -> Iterator[Any]:
    """Yield (workers, ranks, stage): all without worker processes, and each pair of two of them with processes.

    More than three processes, and more than three ranks without, are for the slow tests.
    `test_clip_keys_are_equal_from_every_start_position` has the turns of all numbers of workers and ranks.
    """
    for workers, (number, world) in product(WORKERS, enumerate(WORLDS)):
        for position, stage in enumerate(STAGES):
            if workers == 0 or (number + WORKERS.index(workers)) % len(STAGES) == position:
                many = workers * world > 3 or world > 3
                yield pytest.param(workers, world, stage, marks=[pytest.mark.slow] if many else [])


@pytest.mark.parametrize(("workers", "world", "stage"), list(worlds_of_streams()))
def test_a_stream_resumes_with_any_number_of_ranks_and_workers(
    shards: Path, undisturbed: dict[str, Steps], stage: str, world: int, workers: int
) -> None:
    # A worker costs a process for each rank and resume, so there the next steps are taken from the same resume.
    for point, steps in [(step, 1) for step in range(6)] if workers == 0 else [(1, 3), (5, 3)]:
        state = json.loads(json.dumps(state_at(make_stream_loader(shards, STAGES[stage], BATCH), point)))
        ranks = [
            make_stream_loader(shards, STAGES[stage], BATCH, world=world, rank=rank, workers=workers)
            for rank in range(world)
        ]
        for loader in ranks:
            loader.load_state_dict(state)
        streams = [iter(loader) for loader in ranks]
        for step in range(point, point + steps):
            assert [clip for stream in streams for clip in batch_contents(next(stream))] == undisturbed[stage][step]


def state_at(loader: StreamLoader[Any], step: int) -> dict[str, object]:
    epoch, position = divmod(step * BATCH, len(loader.stream.order))
    return {**loader.state_dict(), "epoch": epoch, "position": position}


def test_the_state_after_a_step_points_to_the_next_step(shards: Path, undisturbed: dict[str, Steps]) -> None:
    for workers in (0, 2):
        running = make_stream_loader(shards, pretraining_sampler(), BATCH, workers=workers)
        stream = iter(running)
        for step in range(5):
            assert batch_contents(next(stream)) == undisturbed["pretraining"][step]
            other = make_stream_loader(shards, pretraining_sampler(), BATCH)
            other.load_state_dict(running.state_dict())
            if step in (1, 3):
                assert batch_contents(next(iter(other))) == undisturbed["pretraining"][step + 1]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("batch_clips", "workers"), [(8, 1), (24, 2), pytest.param(48, 3, marks=pytest.mark.slow)])
def test_batches_do_not_change_after_delivery(
    shards: Path, stage: str, batch_clips: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers fill each of their buffers three times while the caller still holds every batch."""
    sampler = STAGES[stage]
    parts_made = count_parts(sampler, monkeypatch)
    loader = make_stream_loader(shards, sampler, batch_clips, workers=workers)
    delivered = []
    for batch in loader:
        delivered.append(batch)
        parts_taken = len(delivered) * loader.stream.parts_per_step
        # torch keeps at least two parts of each worker in preparation beyond those that the loader has taken.
        parts_ahead = parts_taken + 2 * workers
        wait_until(lambda minimum=parts_ahead: parts_made.value >= minimum, "workers that are two parts ahead")
        if parts_taken >= 3 * workers * loader.stream.buffers > 0:
            break
    expected = islice(make_stream_loader(shards, sampler, batch_clips), len(delivered))
    assert [batch_contents(batch) for batch in delivered] == [batch_contents(batch) for batch in expected]


def count_parts(sampler: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a shared number of the parts that all workers, forked from this process, have made since this call."""
    parts_made, make_batch = multiprocessing.Value("i", 0), type(sampler).make_batch

    def make_counted_batch(*arguments: Any) -> Any:
        batch = make_batch(*arguments)
        with parts_made.get_lock():
            parts_made.value += 1
        return batch

    monkeypatch.setattr(type(sampler), "make_batch", make_counted_batch)
    return parts_made


@pytest.mark.parametrize("stage", STAGES)
def test_transforms_are_equal_for_any_number_of_ranks(shards: Path, stage: str) -> None:
    draws = STAGES[stage]
    batch = next(iter(make_stream_loader(shards, draws, BATCH)))
    batches = [batch, *(next(iter(make_stream_loader(shards, draws, BATCH, world=8, rank=rank))) for rank in range(8))]
    if stage == "pretraining":
        inputs = [pretraining_input(batch, MODEL.geometry) for batch in batches]
    else:
        inputs = [finetuning_input(batch, draws) for batch in batches]
    for modality in (0, 1):
        parts = torch.cat([pair[modality] for pair in inputs[1:]])
        assert parts.isfinite().all()
        torch.testing.assert_close(parts, inputs[0][modality], atol=1e-5, rtol=1e-5)


def test_mixing_partners_are_equal_for_any_number_of_ranks(shards: Path) -> None:
    batch = next(iter(make_stream_loader(shards, finetuning_sampler(), BATCH)))
    keys = [batch.records[row].key for row in batch.own_B]
    assert keys == list(batch.keys)
    partners = [batch.records[row].key for row in batch.partner_B]
    assert partners == [keys[n ^ 1] for n in range(BATCH)]
    rank_batches = [
        next(iter(make_stream_loader(shards, finetuning_sampler(), BATCH, world=8, rank=rank))) for rank in range(8)
    ]
    assert [batch.records[row].key for batch in rank_batches for row in batch.partner_B] == partners
    assert [len(batch.samples_R) for batch in rank_batches] == [4] * 8, "three of its own, one of its neighbour's"


def test_batch_keys_lead_to_the_lineage(shards: Path) -> None:
    batch = next(iter(make_stream_loader(shards, pretraining_sampler(), BATCH)))
    records = trace_clips(shards, batch.keys)
    assert [clip.record.key for clip in records] == list(batch.keys)
    assert [clip.record.source for clip in records] == list(batch.sources)
    assert all(clip.record.checks and len(clip.record.input_sha256) == 64 for clip in records)


_CHILD = """
import json, sys
from pathlib import Path
from support.streams import make_stream_loader, pretraining_sampler
shards, saved, out = map(Path, sys.argv[1:4])
loader = make_stream_loader(shards, pretraining_sampler(), 24, workers=2)
for number, batch in enumerate(loader):
    with open(out, "a") as file:
        file.write(json.dumps([batch.keys, [d.start_frame for d in batch.params]]) + "\\n")
    half = saved.with_suffix(".half")
    half.write_text(json.dumps(loader.state_dict()))
    half.replace(saved)
    print(number, flush=True)
"""


def test_a_killed_stream_resumes_with_another_number_of_ranks(
    shards: Path, tmp_path: Path, undisturbed: dict[str, Steps]
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", _CHILD, str(shards), str(tmp_path / "state.json"), str(tmp_path / "seen.jsonl")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 3:
            os.killpg(child.pid, signal.SIGKILL)
            break
    child.wait()
    state = json.loads((tmp_path / "state.json").read_text())
    step = (state["epoch"] * 50 + state["position"]) // BATCH
    lines = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    stream = iter(make_stream_loader(shards, pretraining_sampler(), BATCH))
    expected = [next(stream) for _ in range(max(len(lines), step) + 1)]
    for (keys, starts), batch in zip(lines, expected, strict=False):
        assert (tuple(keys), starts) == (batch.keys, [draw.start_frame for draw in batch.params])
    ranks = [make_stream_loader(shards, pretraining_sampler(), BATCH, world=3, rank=rank) for rank in range(3)]
    for loader in ranks:
        loader.load_state_dict(state)
    assert next_global_batch(ranks) == batch_contents(expected[step])


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("workers", WORKERS)
def test_clip_keys_are_equal_from_every_start_position(shards: Path, world: int, workers: int) -> None:
    """Two steps from each of an epoch's positions on, put together from the turns of workers and ranks."""
    ranks = [
        ClipStream(StreamConfig(shards=shards, batch=BATCH), finetuning_sampler(), world, rank) for rank in range(world)
    ]
    order = ranks[0].order
    for start in range(len(order)):
        step_positions: list[list[int]] = [[], []]
        for stream in ranks:
            stream.start = start
            turns = [stream.plan(turn, max(1, workers)) for turn in range(max(1, workers))]
            in_turn = (part for parts in zip(*turns, strict=True) for part in parts)
            for positions in step_positions:
                positions += [n for part in islice(in_turn, stream.parts_per_step) for n in part.own]
        assert step_positions == [[*range(start, start + BATCH)], [*range(start + BATCH, start + 2 * BATCH)]]


def test_delivery_counts_are_exact_and_continue_after_a_resume(shards: Path, tmp_path: Path) -> None:
    mix, log = Mixture(weights={"a": 1, "b": 1, "c": 0.5}), tmp_path / "delivery.jsonl"
    loader = make_stream_loader(shards, pretraining_sampler(), BATCH, mix=mix, delivery_log=log, log_steps=5)
    stream, counts = iter(loader), dict.fromkeys("abc", 0)
    for _ in range(9):
        for source in next(stream).sources:
            counts[source] += 1
        for delivery in loader.delivered():
            assert delivery.clips == counts[delivery.source]
            assert abs(delivery.clips - delivery.target) <= 1 + 1e-9
            assert delivery.seconds == delivery.clips * 2.56
    resumed = make_stream_loader(shards, pretraining_sampler(), BATCH, world=2, rank=1, mix=mix)
    resumed.load_state_dict(loader.state_dict())
    assert resumed.delivered() == loader.delivered()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    ends = [step for step in range(1, 10) if step % 5 == 0 or step * BATCH // 50 != (step - 1) * BATCH // 50]
    assert [(row["epoch"] * 50 + row["position"]) // BATCH for row in rows] == ends
    assert all({"source", "clips", "seconds", "target", "faults"} == set(row["sources"][0]) for row in rows)


class OtherSources(PretrainingSampler):
    """A sampler whose batches say that all clips are of source a."""

    def make_batch(self, common: Batch, clips: list[Clip[PretrainingParams]], partners: list[int]) -> PretrainingBatch:
        return super().make_batch(replace(common, sources=("a",) * len(common)), clips, partners)


def test_an_epoch_that_deviates_from_the_order_is_reported(shards: Path) -> None:
    wrong = make_stream_loader(shards, OtherSources(MODEL, paper_masks(MODEL)), BATCH)
    with pytest.raises(FaultError, match=r"delivered .* but the order gave"):
        for _ in zip(range(4), wrong, strict=False):
            pass


def test_a_finite_stream_ends_and_the_state_of_another_stream_is_refused(shards: Path) -> None:
    loader = make_stream_loader(shards, pretraining_sampler(), BATCH, epochs=2)
    assert sum(1 for _ in loader) == 4  # 100 clips, four to spare
    other = make_stream_loader(shards, pretraining_sampler(), BATCH, seed=1)
    with pytest.raises(UserError, match=r"the checkpoint is of another order of clips .* take a new --out"):
        other.load_state_dict(loader.state_dict())
    with pytest.raises(UserError, match="cannot be shared by 5 ranks"):
        make_stream_loader(shards, pretraining_sampler(), BATCH, world=5)


_RANK = """
import json, sys
from pathlib import Path
import torch.distributed as distributed
from avf_training.distributed.environment import launched_world
from support.streams import make_stream_loader, pretraining_sampler
distributed.init_process_group("gloo")
world = launched_world()
loader = make_stream_loader(
    Path(sys.argv[1]), pretraining_sampler(), 24, world=world.size, rank=world.rank, workers=1
)
for _, batch in zip(range(4), loader):
    steps = [None] * world.size
    distributed.all_gather_object(steps, batch.keys)
    if world.rank == 0:
        print(json.dumps([key for keys in steps for key in keys]), flush=True)
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_under_torchrun_share_the_global_batch(shards: Path, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(_RANK)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(shards)], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr
    stream = iter(make_stream_loader(shards, pretraining_sampler(), BATCH))
    assert [json.loads(line) for line in done.stdout.splitlines()] == [list(next(stream).keys) for _ in range(4)]


def test_an_invalid_number_of_ranks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched_world() == (1, 0)
    for size, rank in (("2", "2"), ("0", "0"), ("x", "0")):
        monkeypatch.setenv("WORLD_SIZE", size)
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(UserError, match="WORLD_SIZE"):
            launched_world()
