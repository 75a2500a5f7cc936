"""README: pre-training goes on after any kill with the same curve, and in another world with the same data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from avf_shards.errors import FaultError, UserError
from avf_training.checkpoint import Checkpoints
from avf_training.data.storage import StorageConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.pretrain import pretrain
from avf_training.recipe import load_recipe
from support.clips import flashing_shards

QUICK = ("steps=6", "warmup_steps=2", "batch=4", "micro_batch=4", "workers=0", "threads=1", "log_every=2")
SAVE = ("checkpoint.every=2", "checkpoint.keep=9")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flashing_shards(tmp_path_factory.mktemp("pretraining"), {"a": 14, "b": 7})


def train(shards: Path, out: Path, *settings: str, from_step: int | None = None) -> int:
    recipe = load_recipe("nano", (*QUICK, *SAVE, *settings))
    return pretrain(recipe, shards, out, StorageConfig(), from_step=from_step)


def command(shards: Path, out: Path, *settings: str) -> list[str]:
    sets = [word for setting in (*QUICK, *SAVE, *settings) for word in ("--set", setting)]
    return ["-m", "avf_training.cli", "pretrain", "--recipe", "nano", "--shards", str(shards), "--out", str(out), *sets]


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(shards, out) == 6
    return out


def start(shards: Path, out: Path, *settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *command(shards, out, *settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_lines(running: "subprocess.Popen[str]", out: Path, lines: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and running.poll() is None:
        if (out / "metrics.jsonl").is_file() and len((out / "metrics.jsonl").read_text().splitlines()) >= lines:
            return
        time.sleep(0.01)


def test_the_run_is_whole(undisturbed: Path) -> None:
    rows = metrics(undisturbed)
    assert [row["step"] for row in rows] == list(range(6))
    assert all(row["loss"] > 0 and not row["skipped"] for row in rows)
    assert rows[0]["lr"] == 0
    assert Checkpoints(undisturbed, 9, 0).steps() == [2, 4, 6]
    assert (undisturbed / "checkpoints/latest").read_text() == "step-00000006\n"
    MaskedAutoencoder.from_pretrained(undisturbed / "model")


def test_killed_and_started_again_the_curve_is_the_same_to_the_last_bit(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for lines in (1, 4):
        running = start(shards, out)
        wait_for_lines(running, out, lines)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert train(shards, out) == 6
    assert metrics(out) == metrics(undisturbed)
    assert (out / "model/model.safetensors").read_bytes() == (undisturbed / "model/model.safetensors").read_bytes()


def test_sigterm_saves_and_ends(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    running = start(shards, out, "checkpoint.every=1000")
    wait_for_lines(running, out, 2)
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    (reached,) = Checkpoints(out, 9, 0).steps()
    assert f"step {reached}" in said[0]
    assert train(shards, out) == 6
    assert metrics(out) == metrics(undisturbed)


@pytest.mark.slow
def test_two_processes_equal_one_that_accumulates(shards: Path, tmp_path: Path) -> None:
    settings = ("steps=3", "batch=8", "micro_batch=4")
    train(shards, tmp_path / "one", *settings)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *command(shards, tmp_path / "two", *settings)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=2e-4), "the same clips, masks and negatives; sums in another order"
    # A run of two processes goes on in one.
    assert train(shards, tmp_path / "two", *settings, "checkpoint.every=7") == 3


def test_a_damaged_checkpoint_is_named_and_the_one_before_offered(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train(shards, out)
    (tensors,) = (out / "checkpoints/step-00000006").glob("*.distcp")
    data = bytearray(tensors.read_bytes())
    data[len(data) // 2] ^= 1
    tensors.write_bytes(data)
    with pytest.raises(FaultError, match=r"step-00000006: __0_0.distcp is damaged; start again with --from-step 4"):
        train(shards, out)
    with pytest.raises(UserError, match=r"no checkpoint of step 3; there are \[2, 4, 6\]"):
        train(shards, out, from_step=3)
    assert train(shards, out, from_step=4) == 6
    assert metrics(out) == metrics(undisturbed)


def test_a_start_that_died_half_way_is_no_hindrance(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.run.json").write_text("half")
    assert train(shards, tmp_path / "run", "steps=1") == 1


def test_another_recipe_in_the_same_folder_is_refused(shards: Path, undisturbed: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)holds a run with other settings.*recipe.optim.base_lr: 0.016 -> 0.5"):
        train(shards, undisturbed, "optim.base_lr=0.5")
    assert train(shards, undisturbed, "log_every=1") == 6, "what does not touch the numbers may change"


def test_a_loss_that_is_not_finite_is_skipped_counted_and_stops_the_run(shards: Path, tmp_path: Path) -> None:
    settings = ("optim.base_lr=1e30", "optim.min_lr=0", "warmup_steps=1", "nonfinite_limit=3", "steps=20")
    with pytest.raises(FaultError, match=r"3 steps in a row gave a loss or gradient that is not finite"):
        train(shards, tmp_path / "run", *settings)
    replay = json.loads((tmp_path / "run/0-nonfinite.json").read_text())
    assert len(replay["keys"]) == 4
    last = metrics(tmp_path / "run")[-1]
    assert last["skipped"]
    assert last["loss"] is None or last["grad_norm"] is None
