"""A training run in an object store: checkpoints are committed to it, and another machine goes on from them."""

import os
import signal
from pathlib import Path

import pytest
from avf_shards.stores.addresses import MIRRORS
from avf_shards.stores.fsspec_store import FsspecStore
from avf_shards.stores.opening import open_location
from avf_shards.system.storage_faults import fetch_content
from avf_training import pretrain
from avf_training.models.mae import MaskedAutoencoder
from support.clips import make_flashing_shards
from support.training_runs import read_metrics, start_training
from support.trees import file_digests
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("store_client")


def finish(shards: Path | str, out: Path | str) -> None:
    running = start_training(shards, out)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors


def test_a_run_from_python_lies_in_the_store(tmp_path: Path) -> None:
    shards = make_flashing_shards(tmp_path / "data", {"a": 6, "b": 6})
    settings = {"steps": 2, "warmup_steps": 0, "batch": 4, "micro_batch": 4, "workers": 0, "checkpoint_every": 1}
    run = pretrain(shards, "s3://bucket/python", "nano", settings)
    assert run.finished
    keys = {item.key for item in FsspecStore("s3://bucket/python").find()}
    assert {"run.json", "metrics.jsonl", "model/committed.json"} <= keys, sorted(keys)
    assert "checkpoints/step-00000002/committed.json" in keys
    os.environ[MIRRORS] = str(tmp_path / "other")
    model = MaskedAutoencoder.from_pretrained(open_location("s3://bucket/python/model"))
    written = MaskedAutoencoder.from_pretrained(run.folder / "model")
    assert all(value.equal(written.state_dict()[name]) for name, value in model.state_dict().items())


def test_another_machine_goes_on_from_the_checkpoints_in_a_store(tmp_path: Path) -> None:
    shards, out = make_flashing_shards(tmp_path / "data", {"a": 13, "b": 6}), "s3://bucket/run"
    stored_shards = FsspecStore("s3://bucket/shards")
    for path in shards.iterdir():
        stored_shards.write_from_file(path.name, path)
    finish(shards, tmp_path / "local")
    os.environ[MIRRORS] = str(tmp_path / "first")
    commit = "checkpoints/step-00000002/committed.json"
    running, store = start_training("s3://bucket/shards", out), FsspecStore(out)
    wait_until(lambda: running.poll() is not None or store.look_up(commit) is not None, "a checkpoint")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert store.look_up(commit), running.returncode
    os.environ[MIRRORS] = str(tmp_path / "other")
    finish("s3://bucket/shards", out)
    os.environ[MIRRORS] = str(tmp_path / "reader")
    run = open_location(out)
    fetch_content(*(path for path in run.rglob("*") if path.is_file()))
    assert read_metrics(run) == read_metrics(tmp_path / "local")
    models = [file_digests(folder / "model")["model.safetensors"] for folder in (run, tmp_path / "local")]
    assert models[0] == models[1]
