"""Frozen evaluation: a saved model is probed by a command, and pre-training is probed as it goes on."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from avf_shards.errors import FaultError, UserError
from avf_training.cli.main import main
from avf_training.console.task_tables import print_probes
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.probes import FrozenFeatures
from avf_training.finetuning import frozen
from avf_training.finetuning.frozen import extract_features, probe_callback, probe_saved_model
from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LearnedClips
from avf_training.tasks.task import Task, fold_task
from avf_training.trainer.metrics_writer import read_lines
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.models import save_pretrained_model


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(6, 2)})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pretrained_model(tmp_path_factory.mktemp("model") / "mae", seed=0)


@pytest.fixture
def task(shards: Path) -> Task:
    return fold_task(make_dataset(), LabelledShards([shards], StorageConfig()), 1, "av", 0.0)


def write_dataset(folder: Path) -> str:
    values = json.loads(json.dumps(asdict(make_dataset())))
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_command_scores_each_probe_and_the_spread(
    shards: Path, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", "--model", str(saved), "--dataset", write_dataset(tmp_path), "--shards", str(shards)]
    status = main([*words, "--device", "cpu", "--probes", "linear,knn", "--neighbours", "3", "--json", "-"])
    values = json.loads(capsys.readouterr().out)
    assert status == bool(values["features"]["alarms"])
    assert set(values["probes"]) == {"linear", "knn"}
    # Labels are bright halves of drawn pictures, which even random encoders keep.
    assert values["probes"]["linear"]["scores"]["WAR"]["value"] > 0.9
    assert values["train"] + values["test"] == values["features"]["clips"] == 24
    assert 1 <= values["features"]["effective_rank"]["video"] <= values["features"]["possible_rank"]["video"] == 23
    main([*words, "--device", "cpu", "--probes", "knn"])
    printed = capsys.readouterr().out
    assert "effective rank" in printed
    assert "R@1" in printed


def test_a_model_that_learned_the_test_clips_is_refused(saved: Path, task: Task, tmp_path: Path) -> None:
    model = tmp_path / "trained"
    Classifier(preset("nano"), 2).save_pretrained(model)
    LearnedClips.with_labels(task.identity_of[key] for key in task.test).write(model)
    with pytest.raises(UserError, match="was trained on lab-"):
        probe_saved_model(model, task)


def test_clips_that_cannot_be_read_are_left_out_and_named(
    saved: Path, task: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {task.train[0], task.test[1]}
    random = np.random.default_rng(0)

    def extract(model: object, task: object, keys: Sequence[str]) -> FrozenFeatures:
        readable = tuple(key for key in keys if key not in lost)
        pooled = torch.tensor(random.normal(size=(len(readable), 8)))
        return FrozenFeatures(keys=readable, pooled={"video": pooled}, tokens={"video": pooled[:, None]})

    monkeypatch.setattr(frozen, "extract_features", extract)
    values = probe_saved_model(saved, task, ("knn",)).as_dict(task)
    assert values["unreadable"] == sorted(lost)
    assert values["features"]["clips"] == len(task.train) + len(task.test) - 2
    print_probes(values)
    assert f"2 clips could not be read and left out: {min(lost)} first" in capsys.readouterr().out
    lost |= set(task.train)
    with pytest.raises(FaultError, match="lab/fold_1: none of its training clips can be read"):
        probe_saved_model(saved, task, ("knn",))


def test_features_are_the_means_of_tokens_and_change_nothing(saved: Path, task: Task) -> None:
    model = Classifier(preset("nano"), 2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    features = extract_features(model, task, task.test)
    assert features.keys == tuple(task.test)
    for name, tokens in features.tokens.items():
        assert torch.allclose(features.pooled[name], tokens.mean(1), atol=1e-5)
    assert model.training
    assert all((tensor == before[name]).all() for name, tensor in model.state_dict().items())


def test_a_collapsed_model_raises_the_alarm_as_it_trains(
    saved: Path, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    score = probe_callback(preset("nano"), task, "cpu")
    tensors = MaskedAutoencoder.from_pretrained(saved).state_dict()
    healthy = score(0, tensors)
    assert "the video features" not in caplog.text
    assert "the audio features of 24 clips fill 1.00 of 23 dimensions" in caplog.text, "two tones fill a line"
    assert healthy["probe/linear UAR"] > 0.9
    flat = {name: torch.zeros_like(t) if name.startswith("encoder_video") else t for name, t in tensors.items()}
    assert score(9, flat)["rank/video"] < healthy["rank/video"]
    assert "step 10: the video features of 24 clips" in caplog.text


@pytest.mark.slow
def test_pre_training_is_probed_without_a_change_of_its_curve(shards: Path, tmp_path: Path) -> None:
    sets = ["steps=4", "warmup_steps=1", "batch=4", "micro_batch=4", "workers=0", "threads=1", "eval_every=2"]
    words = ["--recipe", "nano", "--shards", str(shards), "--device", "cpu"]
    words += [word for setting in sets for word in ("--set", setting)]
    probe = ["--probe", str(shards), "--probe-dataset", write_dataset(tmp_path)]
    for name, more in (("plain", []), ("probed", probe)):
        assert main(["pretrain", *words, *more, "--out", str(tmp_path / name)]) == 0
    losses = [[row["loss"] for row in read_lines(tmp_path / name / "metrics.jsonl")] for name in ("plain", "probed")]
    assert losses[0] == losses[1]
    rows = read_lines(tmp_path / "probed/evaluation.jsonl")
    assert [row["step"] for row in rows] == [1, 3]
    assert {"probe/linear UAR", "probe/knn UAR", "rank/video", "uniformity/audio", "alignment"} <= set(rows[0])


def test_a_probe_that_the_epochs_of_a_run_never_reach_is_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "nano", "--shards", str(shards), "--out", str(tmp_path / "r"), "--device", "cpu"]
    sets = ["steps=null", "epochs=1", "batch=8", "micro_batch=8", "workers=0", "eval_every=9"]
    words += [word for setting in sets for word in ("--set", setting)]
    assert main(["pretrain", *words, "--probe", str(shards), "--probe-dataset", write_dataset(tmp_path)]) == 2
    assert "--probe scores every 9 steps (eval_every), and this run has 3" in capsys.readouterr().err
    assert not (tmp_path / "r/run.json").exists(), "the corrected command may take the same folder"


def test_a_probe_needs_its_data_set(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["pretrain", "--recipe", "nano", "--shards", str(shards), "--out", str(tmp_path / "r"), "--device", "cpu"]
    # Nothing of the model is imported before the refusal: torch takes seconds.
    monkeypatch.setitem(sys.modules, "avf_training.pretraining.pretrain", None)
    assert main([*words, "--probe", str(shards)]) == 2
    assert main([*words, "--probe", str(shards), "--probe-dataset", "x", "--set", "eval_every=0"]) == 2
    assert main([*words, "--probe", str(shards), "--probe-dataset", "nosuch", "--set", "eval_every=2"]) == 2
    dataset = ["--probe-dataset", write_dataset(tmp_path), "--set", "eval_every=2"]
    assert main([*words, "--probe", str(tmp_path / "absent"), *dataset]) == 2
    assert main([*words, "--probe", str(shards), *dataset, "--set", "steps=1"]) == 2
    shown = capsys.readouterr().err
    assert "--probe SHARDS and --probe-dataset NAME belong together" in shown
    assert "--probe scores every eval_every steps, and that is 0" in shown
    assert "nosuch" in shown
    assert f"{tmp_path / 'absent'}: has no manifest.json" in shown
    assert "--probe scores every 2 steps (eval_every), and this run has 1, so it would never run" in shown
    assert not (tmp_path / "r").exists()
