"""A run that calibrates: the temperature is saved with the models, tests and predictions have it, and others do not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_shards.schema.versions import read_json
from avf_training.config.finetune import load_finetune_recipe
from avf_training.console.task_tables import print_result
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.results import read_predictions
from avf_training.finetuning import calibrate
from avf_training.finetuning.calibrate import set_temperature
from avf_training.finetuning.finetune import train_stage
from avf_training.inference.predictions import predict
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import fold_task
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.models import random_batch, tiny_config
from support.training_runs import SHALLOW

SETS = ("batch=4", "micro_batch=4", "workers=0", "epochs=1", "threads=1", "validation_share=0.2", "score_test=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(4, 2)}))


def train(folder: Path, out: Path, *settings: str) -> Path:
    recipe = load_finetune_recipe("finetune", "nano", [SHALLOW, *SETS, *settings])
    shards = LabelledShards([folder], StorageConfig())
    return train_stage(recipe, fold_task(make_dataset(), shards, 1, "av", recipe.validation_share), None, out)


def test_probabilities_are_the_softmax_of_divided_logits() -> None:
    torch.manual_seed(0)
    model = Classifier(tiny_config("vit", "cross"), 3).eval()
    logits = model(*random_batch(model.config, 2)).logits_BJ.detach()
    set_temperature(model, 2.5)
    powers = np.exp(logits.double().numpy() / 2.5)
    assert model.predictions(logits).numpy() == pytest.approx(powers / powers.sum(1, keepdims=True), abs=1e-6)
    with pytest.raises(ValueError, match="temperature 0 must be above 0"):
        OutputSpec(temperature=0.0)


def test_a_model_keeps_its_temperature_and_predicts_with_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    # A model that has learned for two steps is no better than chance, and a few clips then determine no temperature.
    monkeypatch.setattr(calibrate, "fit_temperature", lambda predictions: 2.5)
    result = train(folder, run, "calibrate=true", "segments=1")
    entry = json.loads(result.read_text())["protocols"]["validation"]
    calibration, model = entry["calibration"], Classifier.from_pretrained(run / "best/validation")
    assert model.output_spec.temperature == calibration["temperature"] == 2.5
    for clips, number in (("validation", 0), ("test", entry["people"])):
        for when in ("before", "after"):
            bins = calibration[clips][when]["bins"]
            count = sum(each["clips"] for each in bins)
            gaps = sum(each["clips"] * abs(each["right"] - each["confidence"]) for each in bins)
            assert calibration[clips][when]["ece"] == pytest.approx(gaps / count)
            assert count > number
    assert calibration["determined"]
    tested = read_predictions(run / "predictions/validation.json")
    true = tested.scores_NJ[np.arange(len(tested.keys)), tested.truth.astype(int)]
    assert calibration["test"]["after"]["nll"] == pytest.approx(-np.log(true).mean())
    scores = {person.keys[0]: person.windows[0].scores for person in predict(folder, run)}
    for key, expected in zip(tested.keys, tested.scores_NJ, strict=True):
        assert scores[key] == pytest.approx(expected, abs=1e-5)
    print_result(read_json(result, "test result"), run)
    assert "calibration error (ECE) of test clips" in " ".join(capsys.readouterr().out.split())
    written = result.read_text()
    result.unlink()  # as if the machine had gone away during the test
    assert train(folder, run, "calibrate=true", "segments=1").read_text() == written


def test_a_temperature_that_the_clips_do_not_determine_is_none(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "fit_temperature", lambda predictions: None)
    result = train(folder, tmp_path / "run", "calibrate=true")
    for entry in json.loads(result.read_text())["protocols"].values():
        calibration = entry["calibration"]
        assert (calibration["temperature"], calibration["determined"]) == (1.0, False)
        assert calibration["test"]["before"] == calibration["test"]["after"]
    assert Classifier.from_pretrained(tmp_path / "run/best/validation").output_spec.temperature == 1.0
    print_result(read_json(result, "test result"), tmp_path / "run")
    assert "no temperature: the validation clips are all right, or no better" in " ".join(
        capsys.readouterr().out.split()
    )


def test_without_the_setting_nothing_is_calibrated(folder: Path, tmp_path: Path) -> None:
    result = json.loads(train(folder, tmp_path / "run").read_text())
    assert not any("calibration" in entry for entry in result["protocols"].values())
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["output_spec"].keys() == {"names", "is_classification", "value_range"}, "earlier versions read it"
    identity = json.loads((tmp_path / "run/run.json").read_text())["recipe"]
    assert not {"calibrate", "lora"} & identity.keys(), "runs of earlier versions go on"


def test_dimensions_and_runs_without_validation_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calibrate needs validation clips"):
        load_finetune_recipe("finetune", "nano", ["calibrate=true", "validation_share=0"])
    rows = [{"valence": str(v), "subject": f"p{n}"} for n in range(4) for v in (-1.0, 1.0)]
    shards = LabelledShards([make_labelled_shards(tmp_path, {"lab": rows})], StorageConfig())
    data = make_dataset(
        task="dimensions", labels=(), dimensions=("valence",), range=(-2.0, 2.0), metrics=("PCC", "CCC")
    )
    recipe = load_finetune_recipe("finetune", "nano", [*SETS, "calibrate=true"])
    with pytest.raises(UserError, match="has dimensions, and calibrate is for the probabilities of classes"):
        train_stage(recipe, fold_task(data, shards, 1, "av", 0.2), None, tmp_path / "ft")
    assert not (tmp_path / "ft").exists()
