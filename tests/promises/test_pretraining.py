"""Promise: a killed pre-training resumes to the same loss curve, and with other ranks to the same data."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from avf_shards.errors import FaultError, UserError
from avf_training.config.pretrain import load_recipe
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import process_group
from avf_training.models.mae import MaskedAutoencoder
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.pretraining.replay import keep_for_replay, replay_step
from avf_training.pretraining.step import make_loader
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, read_learned
from avf_training.trainer.checkpoint import Checkpoints
from support.clips import make_flashing_shards
from support.training_runs import QUICK, SAVE, SHALLOW, pretrain_command, read_metrics, start_training, wait_for_lines


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("pretraining"), {"a": 14, "b": 7})


def train(shards: Path, out: Path, *settings: str, from_step: int | None = None, shallow: bool = True) -> int:
    """Train a shallow model, or `nano` as it is; return the steps that are done."""
    recipe = load_recipe("nano", (*QUICK, *SAVE, *([SHALLOW] if shallow else []), *settings))
    return run_pretraining(recipe, PretrainingData(shards=shards), out, from_step=from_step)


@pytest.fixture(scope="module")
def undisturbed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(shards, out) == 6
    return out


@pytest.fixture(scope="module")
def undisturbed_nano(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of `nano` as it is: the tolerances of other arithmetic hold for its depth."""
    out = tmp_path_factory.mktemp("undisturbed-nano") / "run"
    assert train(shards, out, shallow=False) == 6
    return out


def test_a_run_writes_all_its_files(undisturbed: Path) -> None:
    rows = read_metrics(undisturbed)
    assert [row["step"] for row in rows] == list(range(6))
    assert all(row["loss"] > 0 and not row["skipped"] for row in rows)
    assert rows[0]["lr"] == 0
    assert Checkpoints(undisturbed, 9, 0).steps() == [2, 4, 6]
    assert (undisturbed / "checkpoints/latest").read_text() == "step-00000006\n"
    MaskedAutoencoder.from_pretrained(undisturbed / "model")


def test_a_run_lists_the_recordings_that_it_learned_from(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    reader = ClipReader(shards, StorageConfig(), read_corpus(shards, StorageConfig()))
    keys = [reader.key(clip) for clip in range(21)]
    assert read_learned(undisturbed / LEARNED) == LearnedClips.from_keys(keys, labelled=False)
    assert read_learned(undisturbed / "model" / LEARNED) == read_learned(undisturbed / LEARNED)
    train(shards, tmp_path / "run", "steps=1", "mix={weights: {a: 1}}")
    of_a = LearnedClips.from_keys([key for key in keys if key.startswith("a-")], labelled=False)
    assert read_learned(tmp_path / "run" / LEARNED) == of_a, "nothing is drawn from the other source"


def test_a_killed_run_resumes_to_a_bit_identical_loss_curve(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for lines in (1, 4):
        running = start_training(shards, out)
        wait_for_lines(running, out, lines)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert train(shards, out) == 6
    assert read_metrics(out) == read_metrics(undisturbed)
    assert (out / "model/model.safetensors").read_bytes() == (undisturbed / "model/model.safetensors").read_bytes()


@pytest.mark.slow
def test_each_signal_saves_a_checkpoint_and_ends_the_run(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The second signal ends the run that goes on from the checkpoint of the first."""
    out = tmp_path / "run"
    saved: list[int] = []
    for kind, lines in ((signal.SIGTERM, 1), (signal.SIGUSR1, 3)):
        running = start_training(shards, out, "checkpoint_every=1000")
        wait_for_lines(running, out, lines)
        running.send_signal(kind)
        output = running.communicate(timeout=240)
        assert running.returncode == 0, output
        *earlier, reached = Checkpoints(out, 9, 0).steps()
        assert earlier == saved
        assert f"step {reached}" in output[0]
        saved.append(reached)
    assert train(shards, out) == 6
    assert read_metrics(out) == read_metrics(undisturbed)


def train_with_two_processes(shards: Path, out: Path, *settings: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *pretrain_command(shards, out, *settings)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_resumes_with_another_number_of_processes(shards: Path, tmp_path: Path, parallel: str) -> None:
    settings = ("steps=6", "batch=8", "micro_batch=4", f"parallel={parallel}", "eval_every=3")
    train(shards, tmp_path / "one", *settings, shallow=False)
    out = tmp_path / "run"
    shutil.copytree(tmp_path / "one", out)
    remove_checkpoint(out, 4)
    remove_checkpoint(out, 6)
    train_with_two_processes(shards, out, *settings)
    assert Checkpoints(out, 9, 0).steps() == [2, 4, 6]
    remove_checkpoint(out, 6)
    assert train(shards, out, *settings, "parallel=ddp", shallow=False) == 6
    for expected, metrics in zip(read_metrics(tmp_path / "one"), read_metrics(out), strict=True):
        assert expected == pytest.approx(metrics, rel=1e-3), (
            "the same clips, masks and negatives; sums in another order"
        )
    weights = [MaskedAutoencoder.from_pretrained(run / "model").state_dict() for run in (tmp_path / "one", out)]
    assert weights[0].keys() == weights[1].keys()


def remove_checkpoint(out: Path, step: int) -> None:
    """As if the run had died before this checkpoint."""
    shutil.rmtree(out / f"checkpoints/step-{step:08d}")
    shutil.rmtree(out / "model", ignore_errors=True)


def test_a_damaged_checkpoint_is_named_and_the_previous_offered(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    (tensors,) = (out / "checkpoints/step-00000006").glob("*.distcp")
    data = bytearray(tensors.read_bytes())
    data[len(data) // 2] ^= 1
    tensors.write_bytes(data)
    with pytest.raises(FaultError, match=r"step-00000006: __0_0.distcp is damaged; start again with --from-step 4"):
        train(shards, out)
    with pytest.raises(UserError, match=r"no checkpoint of step 3; there are \[2, 4, 6\]"):
        train(shards, out, from_step=3)
    assert train(shards, out, from_step=4) == 6
    assert read_metrics(out) == read_metrics(undisturbed)


def test_a_run_starts_in_a_folder_whose_first_start_was_killed(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.run.json").write_text("half")
    assert train(shards, tmp_path / "run", "steps=1") == 1


def test_another_recipe_in_the_same_folder_is_refused(shards: Path, undisturbed: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)holds a run with other settings.*recipe.optim.base_lr: 0.021 -> 0.5"):
        train(shards, undisturbed, "optim.base_lr=0.5")
    assert train(shards, undisturbed, "log_every=1") == 6, "what does not touch the numbers may change"


def test_non_finite_losses_are_skipped_counted_and_stop_the_run_at_the_limit(shards: Path, tmp_path: Path) -> None:
    settings = ("optim.base_lr=1e30", "optim.min_lr=0", "warmup_steps=1", "nonfinite_limit=3", "steps=20")
    with pytest.raises(FaultError, match=r"3 steps in a row gave a loss or gradient that is not finite"):
        train(shards, tmp_path / "run", *settings)
    last = read_metrics(tmp_path / "run")[-1]
    assert last["skipped"]
    assert last["loss"] is None or last["grad_norm"] is None
    replay = replay_step(tmp_path / "run", shards, StorageConfig())
    assert not replay.finite
    assert replay.step == last["step"]
    assert replay.module or replay.parameters
    with pytest.raises(UserError, match=r"rank-1.json: no such file"):
        replay_step(tmp_path / "run", shards, StorageConfig(), rank=1)
    spoilt = tmp_path / "run/nonfinite/rank-0.json"
    spoilt.write_text(spoilt.read_text().replace('"a-', '"x-'))
    with pytest.raises(FaultError, match=r"gives other clips than step"):
        replay_step(tmp_path / "run", shards, StorageConfig())


def test_replay_names_the_module_clip_and_gradient_that_are_not_finite(shards: Path, tmp_path: Path) -> None:
    recipe = load_recipe("nano", (*QUICK, *SAVE, SHALLOW, "nonfinite_limit=1"))
    train(shards, tmp_path / "run", "steps=1")
    model = MaskedAutoencoder.from_pretrained(tmp_path / "run/model")
    with torch.no_grad():
        model.encoder_audio.blocks[1].local_norm.weight[3] = float("inf")
    with process_group("cpu") as context:
        batch = next(iter(make_loader(recipe, shards, StorageConfig(), context)))
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        keep_for_replay(tmp_path / "run", 0, batches=[batch], model=model, scaler=scaler, context=context)
    replay = replay_step(tmp_path / "run", shards, StorageConfig())
    assert replay.module is not None
    assert replay.module.startswith("encoder_audio.blocks.1.")
    assert replay.keys == batch.keys
    assert not replay.finite


def test_replay_repeats_the_micro_batch_of_the_start_that_stopped(shards: Path, tmp_path: Path) -> None:
    train(shards, tmp_path / "run", "batch=4", "micro_batch=2", "steps=1")
    recipe = load_recipe("nano", (*QUICK, *SAVE, SHALLOW, "batch=4", "micro_batch=4"))
    model = MaskedAutoencoder.from_pretrained(tmp_path / "run/model")
    with process_group("cpu") as context:
        batch = next(iter(make_loader(recipe, shards, StorageConfig(), context)))
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        keep_for_replay(tmp_path / "run", 0, batches=[batch], model=model, scaler=scaler, context=context)
    replay = replay_step(tmp_path / "run", shards, StorageConfig())
    assert replay.finite
    assert replay.parts["loss"] > 0


def test_progress_is_printed_during_training(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = load_recipe("nano", (*QUICK, *SAVE, SHALLOW, "eval_every=3"))
    out = tmp_path / "run"
    run_pretraining(recipe, PretrainingData(shards=shards, validation=shards), out)
    output = capfd.readouterr().err.splitlines()
    assert "GFLOP a clip" in output[0]
    assert "TFLOP/s (measured here" in output[0]
    for line, words in (
        (output[1], ("step 2/6", "loss", "video", "audio", "contrastive", "left")),
        (output[2], ("clips/s", "waited", "MFU", "lr", "grad")),
    ):
        assert all(word in line for word in words)
        assert len(line) <= 80
    assert any("validation: mse/mean patch" in line for line in output)
    speed = [json.loads(line) for line in (out / "throughput.jsonl").read_text().splitlines()]
    assert [row["step"] for row in speed] == [1, 3, 5]
    for row in speed:
        assert 0 <= row["waited_share"] <= 1
        assert row["waited_share"] + row["computed_share"] <= 1
        assert 0 < row["mfu"] < 1
    for path in (
        out / "reconstructions/step-00000003.png",
        out / "reconstructions/step-00000006.png",
        out / "curve.png",
    ):
        assert path.stat().st_size > 5000
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/contrastive", "throughput/clips_per_s", "validation/R@1/chance"} <= set(
        events.Tags()["scalars"]
    )
    assert [event.step for event in events.Scalars("train/loss")] == list(range(6))
    assert [event.step for event in events.Images("reconstruction")] == [2, 5]


def test_metrics_go_to_weights_and_biases_if_a_project_is_given(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(shards, tmp_path / "run", "steps=2", "wandb=avf", "eval_every=2")
    (written,) = (tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb")
    assert b"train/loss" in written.read_bytes()
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"wandb: is not installed; pip install 'avf-foundry\[wandb\]'"):
        train(shards, tmp_path / "other", "steps=2", "wandb=avf")


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_same_losses(
    shards: Path, undisturbed_nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and differentiated as for a GPU; generating C++ for the CPU besides would take many minutes."""
    traced = partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(MaskedAutoencoder, "compile", traced)
    train(shards, tmp_path / "run", "compile=true", "eval_every=3", shallow=False)
    for expected, metrics in zip(read_metrics(undisturbed_nano), read_metrics(tmp_path / "run"), strict=True):
        assert expected == pytest.approx(metrics, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("compute", "most_skipped"), [("bf16", 0), ("fp16", 3)])
def test_other_precisions_and_activation_checkpointing_train(
    shards: Path, undisturbed_nano: Path, tmp_path: Path, compute: str, most_skipped: int
) -> None:
    train(shards, tmp_path / "run", f"precision.compute={compute}", "activation_checkpointing=true", shallow=False)
    rows, plain = read_metrics(tmp_path / "run"), read_metrics(undisturbed_nano)
    assert rows[0]["loss"] == pytest.approx(plain[0]["loss"], rel=0.01), "before any step"
    # A gradient scaler begins too high and finds its scale by skipping.
    assert sum(row["skipped"] for row in rows) <= most_skipped
    assert rows[-1]["video"] == pytest.approx(plain[-1]["video"], rel=0.05)
