"""Exact and elastic: from any step, in any world, with any number of workers, the same clips and the same draws."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_shards.mix import Mix
from avf_training.data.loader import PretrainingLoader
from avf_training.data.stream import Batch, StreamConfig
from avf_training.data.transforms import audio_input, video_input
from avf_training.masking import paper_masks
from avf_training.models.config import Geometry
from support.clips import flashing_shards
from support.models import tiny

MODEL = tiny()
WORLDS, WORKERS, BATCH = (1, 2, 3, 4, 8), (0, 1, 3), 24


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flashing_shards(tmp_path_factory.mktemp("elastic"), {"a": 31, "b": 14, "c": 5})


def loader(shards: Path, world: int = 1, rank: int = 0, workers: int = 0, **more: object) -> PretrainingLoader:
    config = StreamConfig(shards, BATCH, **more)  # type: ignore[arg-type]
    return PretrainingLoader(config, MODEL, paper_masks(MODEL), world, rank, workers)


def contents(batch: Batch) -> list[tuple[object, ...]]:
    """Everything about each clip of a batch, as bytes."""
    return [
        (
            batch.keys[n],
            batch.sources[n],
            batch.planes_BTRW[n].numpy().tobytes(),
            batch.sound_BS[n].numpy().tobytes(),
            int(batch.samples_B[n]),
            batch.draws[n].start_frame,
            batch.draws[n].crop,
            batch.draws[n].gain,
            *(part[n].numpy().tobytes() for part in batch.masks),
        )
        for n in range(len(batch.keys))
    ]


def world_step(loaders: list[PretrainingLoader]) -> list[tuple[object, ...]]:
    """One global batch: what all ranks get, in the order of ranks."""
    return [clip for one in loaders for clip in contents(next(iter(one)))]


@pytest.fixture(scope="module")
def undisturbed(shards: Path) -> list[list[tuple[object, ...]]]:
    """Eight steps (almost four epochs of 50 clips), one process."""
    stream = iter(loader(shards))
    return [contents(next(stream)) for _ in range(8)]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("workers", WORKERS)
def test_six_points_decoded_and_compared(
    shards: Path, undisturbed: list[list[tuple[object, ...]]], world: int, workers: int
) -> None:
    points = range(6) if workers == 0 else (1, 4)  # a worker costs a process for each rank and point
    for step in points:
        first = loader(shards)
        first.load_state_dict(state_at(first, step))
        state = json.loads(json.dumps(first.state_dict()))
        ranks = [loader(shards, world, rank, workers) for rank in range(world)]
        for one in ranks:
            one.load_state_dict(state)
        assert world_step(ranks) == undisturbed[step]


def state_at(one: PretrainingLoader, step: int) -> dict[str, object]:
    epoch, position = divmod(step * BATCH, len(one.clips.order))
    return {**one.state_dict(), "epoch": epoch, "position": position}


def test_the_state_after_a_step_is_the_next_step(shards: Path, undisturbed: list[list[tuple[object, ...]]]) -> None:
    for workers in (0, 2):
        running = loader(shards, workers=workers)
        stream = iter(running)
        for step in range(5):
            assert contents(next(stream)) == undisturbed[step]
            other = loader(shards)
            other.load_state_dict(running.state_dict())
            if step in (1, 3):
                assert contents(next(iter(other))) == undisturbed[step + 1]


def test_float_transforms_are_the_same_in_any_world(shards: Path) -> None:
    geometry = Geometry(size_px=40, patch_px=4)
    whole = next(iter(loader(shards)))
    made = [
        (
            video_input(batch.planes_BTRW, batch.draws, geometry),
            audio_input(batch.sound_BS, batch.samples_B, batch.draws, geometry),
        )
        for batch in [whole, *(next(iter(loader(shards, 4, rank))) for rank in range(4))]
    ]
    for kind in (0, 1):
        parts = torch.cat([pair[kind] for pair in made[1:]])
        torch.testing.assert_close(parts, made[0][kind], atol=1e-5, rtol=1e-5)


_CHILD = """
import json, os, sys
from pathlib import Path
from support.models import tiny
from avf_training.data.loader import PretrainingLoader
from avf_training.data.stream import StreamConfig
from avf_training.masking import paper_masks
shards, saved, out = map(Path, sys.argv[1:4])
model = tiny()
one = PretrainingLoader(StreamConfig(shards, 24), model, paper_masks(model), workers=2)
for number, batch in enumerate(one):
    with open(out, "a") as file:
        file.write(json.dumps([batch.keys, [d.start_frame for d in batch.draws]]) + "\\n")
    half = saved.with_suffix(".half")
    half.write_text(json.dumps(one.state_dict()))
    half.replace(saved)
    print(number, flush=True)
"""


def test_killed_anywhere_and_resumed_in_another_world(
    shards: Path, tmp_path: Path, undisturbed: list[list[tuple[object, ...]]]
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
    seen = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    whole = iter(loader(shards))
    wanted = [next(whole) for _ in range(max(len(seen), step) + 1)]
    for (keys, starts), batch in zip(seen, wanted, strict=False):
        assert (tuple(keys), starts) == (batch.keys, [draw.start_frame for draw in batch.draws])
    ranks = [loader(shards, 3, rank) for rank in range(3)]
    for one in ranks:
        one.load_state_dict(state)
    assert world_step(ranks) == contents(wanted[step])


def test_the_account_is_exact_and_goes_on(shards: Path) -> None:
    one = loader(shards, mix=Mix(weights={"a": 1, "b": 1, "c": 0.5}))
    stream, had = iter(one), dict.fromkeys("abc", 0)
    for _ in range(9):
        for source in next(stream).sources:
            had[source] += 1
        for line in one.delivered():
            assert line.clips == had[line.source]
            assert abs(line.clips - line.target) <= 1 + 1e-9
            assert line.seconds == line.clips * 2.56
    again = loader(shards, 2, 1, mix=Mix(weights={"a": 1, "b": 1, "c": 0.5}))
    again.load_state_dict(one.state_dict())
    assert again.delivered() == one.delivered()


def test_a_finite_stream_ends_and_a_state_of_another_stream_is_refused(shards: Path) -> None:
    one = loader(shards, epochs=2)
    assert sum(1 for _ in one) == 4  # 100 clips, four to spare
    other = loader(shards, seed=1)
    with pytest.raises(UserError, match="the state is of another stream"):
        other.load_state_dict(one.state_dict())
    with pytest.raises(UserError, match="cannot be shared by 5 ranks"):
        loader(shards, 5)
