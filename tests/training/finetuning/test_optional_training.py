"""Settings of fine-tuning that are off by default: each trains, and a stopped run goes on to the same result."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.finetuning_sampler import FinetuningBatch
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.metrics import MetricValue
from avf_training.finetuning import model_selection
from avf_training.finetuning.finetune import train_stage
from avf_training.finetuning.model_selection import read_validation
from avf_training.models.classifier import Classifier
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, fold_task
from avf_training.trainer.metrics_writer import read_lines
from avf_training.trainer.trainer import Trainer
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.stopped_runs import StoppedError, stop_at_evaluation
from support.training_runs import SHALLOW

SETS = ("batch=4", "micro_batch=4", "workers=0", "epochs=2", "threads=1", "validation_share=0.2", "drop_path=0.3")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """Clips of six people, three of `left` for each of `right`."""
    rows = [row for n, row in enumerate(make_label_rows(6, 3)) if row["label"] == "left" or n % 3 == 0]
    folder = make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": rows})
    return LabelledShards([folder], StorageConfig())


def make_run(shards: LabelledShards, *settings: str) -> tuple[FinetuneRecipe, Task]:
    recipe = load_finetune_recipe("finetune", "nano", [SHALLOW, *SETS, *settings])
    return recipe, fold_task(make_dataset(), shards, 1, recipe.modalities, recipe.validation_share)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("imbalance.sampling=balanced", "imbalance.focal=1"),
        ("imbalance.sampling=square_root", "imbalance.weights=balanced", "imbalance.logit_adjustment=1", "repeats=2"),
        ("average_decay=0.8", "frozen_layers=2"),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_result(
    shards: LabelledShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    recipe, task = make_run(shards, *settings)
    uncut = train_stage(recipe, task, None, tmp_path / "whole")
    stop_at_evaluation(monkeypatch, 2)
    with pytest.raises(StoppedError):
        train_stage(recipe, task, None, tmp_path / "cut")
    monkeypatch.undo()
    resumed = train_stage(recipe, task, None, tmp_path / "cut")
    assert resumed.read_text() == uncut.read_text()
    for name in ("validation.jsonl", "predictions/last.json", "predictions/validation.json"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


def score_as(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Let the validation scores of the evaluations be these."""
    computed = iter(scores)

    def score(data: object, predictions: object) -> dict[str, MetricValue]:
        return {"WAR": MetricValue(value=next(computed))}

    monkeypatch.setattr(model_selection, "score_predictions", score)


@pytest.mark.slow
def test_a_run_ends_early_where_its_scores_stop_to_rise_and_ends_there_again(
    shards: LabelledShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, task = make_run(shards, "patience=2", "epochs=9", "score_test=false")
    score_as(monkeypatch, [0.7, 0.6, 0.7])
    result = train_stage(recipe, task, None, tmp_path / "run")
    rows = read_validation(tmp_path / "run")
    assert [row.scores["validation"]["WAR"] for row in rows] == [0.7, 0.6, 0.7], "the first of equals is the best"
    assert json.loads(result.read_text())["protocols"]["validation"]["step"] == rows[0].step
    written = result.read_text()
    result.unlink()  # as if the machine had gone away before the test; training must not go on
    assert train_stage(recipe, task, None, tmp_path / "run").read_text() == written
    assert len(read_lines(tmp_path / "run/metrics.jsonl")) == rows[-1].step + 1


def test_a_step_that_was_scored_before_a_stop_keeps_its_score_and_its_model(
    shards: LabelledShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, task = make_run(shards, "epochs=3", "score_test=false")
    out = tmp_path / "run"
    score_as(monkeypatch, [0.5, 0.9])
    saved, save = [], Trainer._save

    def save_or_stop(self: Trainer[FinetuningBatch], step: int) -> None:
        saved.append(step)
        if len(saved) == 2:
            raise StoppedError  # its scores and its best model are written, its checkpoint is not
        save(self, step)

    monkeypatch.setattr(Trainer, "_save", save_or_stop)
    with pytest.raises(StoppedError):
        train_stage(recipe, task, None, out)
    monkeypatch.setattr(Trainer, "_save", save)
    scored = (out / "validation.jsonl").read_text()
    best = (out / "best/validation/model.safetensors").read_bytes()
    score_as(
        monkeypatch, [0.4]
    )  # of the third evaluation: the second is not repeated, in another world it could differ
    result = json.loads(train_stage(recipe, task, None, out).read_text())
    assert (out / "validation.jsonl").read_text().startswith(scored)
    assert [row.scores["validation"]["WAR"] for row in read_validation(out)] == [0.5, 0.9, 0.4]
    assert result["protocols"]["validation"]["step"] == saved[1] - 1
    assert (out / "best/validation/model.safetensors").read_bytes() == best


@pytest.mark.parametrize(
    "written",
    [pytest.param(False, id="before its row"), pytest.param(True, id="after its row", marks=pytest.mark.slow)],
)
def test_a_best_model_is_that_of_its_row_wherever_a_run_is_stopped(
    shards: LabelledShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    recipe, task = make_run(shards, "epochs=2", "score_test=false")
    out = tmp_path / "run"
    score_as(monkeypatch, [0.5, 0.9])
    replace_file, rows, models = durable_io.replace_file, [], []

    def replace_or_stop(path: Path, data: bytes) -> None:
        if path.name == "validation.jsonl":
            rows.append(data)
            models.extend((out / "best.next").glob("*/model.safetensors"))
        if len(rows) == 2 and not written:
            raise StoppedError
        replace_file(path, data)
        if len(rows) == 2:
            raise StoppedError

    monkeypatch.setattr(durable_io, "replace_file", replace_or_stop)
    with pytest.raises(StoppedError):
        train_stage(recipe, task, None, out)
    monkeypatch.setattr(durable_io, "replace_file", replace_file)
    first, second = (out / "best/validation/model.safetensors").read_bytes(), models[1].read_bytes()
    assert first != second
    score_as(monkeypatch, [0.4])  # in another world, or on a GPU, a score may be lower than before the stop
    result = json.loads(train_stage(recipe, task, None, out).read_text())
    selected = result["protocols"]["validation"]
    assert selected["selection_score"] == (0.9 if written else 0.5)
    assert (out / "best/validation/model.safetensors").read_bytes() == (second if written else first)
    assert not (out / "best.next").exists()


def test_frozen_layers_keep_their_weights_and_the_others_learn(shards: LabelledShards, tmp_path: Path) -> None:
    recipe, task = make_run(shards, "frozen_layers=2", "epochs=1", "score_test=false", "validation_share=0")
    torch.manual_seed(recipe.seed)
    new = Classifier(recipe.model_config(), 2, recipe.drop_path).state_dict()
    train_stage(recipe, task, None, tmp_path / "run")
    learned = Classifier.from_pretrained(tmp_path / "run/model").state_dict()
    same = {name for name, tensor in learned.items() if (tensor == new[name]).all()}
    frozen = {name for name in learned if name.startswith("encoder_") and (".embed." in name or ".blocks.0." in name)}
    assert len(frozen) > 10
    assert frozen <= same
    assert "head.weight" not in same
    assert any(".blocks.1." in name for name in learned.keys() - same)


def test_settings_that_nothing_can_follow_are_refused_before_the_folder_is_made(
    shards: LabelledShards, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"frozen_layers 99: this model has 4 layers"):
        train_stage(*make_run(shards, "frozen_layers=99"), None, tmp_path / "run")
    recipe, task = make_run(shards, "patience=2")
    with pytest.raises(UserError, match=r"lab/fold_1: patience needs validation clips"):
        train_stage(recipe, replace(task, validation=()), None, tmp_path / "run")
    with pytest.raises(UserError, match=r"select_by PCC: lab/fold_1 is not scored by it; take one of UAR, WAR"):
        train_stage(*make_run(shards, "select_by=PCC"), None, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "the corrected command would be refused there as another run"


def test_a_loss_of_moments_keeps_the_clips_that_it_compares(tmp_path: Path) -> None:
    rows = [{"valence": str(v), "subject": f"p{n}"} for n in range(4) for v in (-1.0, 1.0)]
    labelled = LabelledShards([make_labelled_shards(tmp_path, {"lab": rows})], StorageConfig())
    data = make_dataset(
        task="dimensions", labels=(), dimensions=("valence",), range=(-2.0, 2.0), metrics=("PCC", "CCC")
    )
    settings = [*SETS, "steps=1", "regression=ccc", "modalities=v", "validation_share=0", "score_test=false"]

    def start(micro_batch: int) -> Path:
        recipe = load_finetune_recipe("finetune", "nano", [SHALLOW, *settings, f"micro_batch={micro_batch}"])
        return train_stage(recipe, fold_task(data, labelled, 1, "v", 0.0), None, tmp_path / "ft")

    result = start(4)
    with pytest.raises(UserError, match=r"\(regression: ccc\) compares 4 clips at once, so a micro_batch of 2 would"):
        start(2)
    assert start(4) == result


def test_without_scores_of_test_clips_no_epoch_is_selected_by_them(shards: LabelledShards, tmp_path: Path) -> None:
    recipe, task = make_run(shards, "score_test=false")
    result = json.loads(train_stage(recipe, task, None, tmp_path / "run").read_text())
    assert set(result["protocols"]) == {"validation", "last"}
    assert result["protocols"]["last"]["scores"]["WAR"]["value"] is not None, "the last model is tested all the same"
    rows = [json.loads(line)["scores"] for line in (tmp_path / "run/validation.jsonl").read_text().splitlines()]
    assert [set(row) for row in rows] == [{"validation"}] * 2


def test_dimensions_have_no_classes_to_balance(tmp_path: Path) -> None:
    rows = [{"valence": str(v), "subject": f"p{n}"} for n in range(4) for v in (-1.0, 1.0)]
    labelled = LabelledShards([make_labelled_shards(tmp_path, {"lab": rows})], StorageConfig())
    data = make_dataset(
        task="dimensions", labels=(), dimensions=("valence",), range=(-2.0, 2.0), metrics=("PCC", "CCC")
    )
    recipe = load_finetune_recipe("finetune", "nano", [*SETS, "imbalance.sampling=balanced"])
    with pytest.raises(UserError, match="imbalance is for classes, and valence are dimensions"):
        train_stage(recipe, fold_task(data, labelled, 1, "av", 0.0), None, tmp_path / "ft")
    assert not (tmp_path / "ft").exists()
