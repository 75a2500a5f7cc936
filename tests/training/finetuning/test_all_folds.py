"""`--fold all` trains every fold in a folder of its own and states mean, deviation and the pooled score."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avf_shards.schema.versions import read_json
from avf_training.cli.main import main
from avf_training.evaluation.results import write_predictions
from avf_training.evaluation.scoring import Predictions
from avf_training.finetuning.all_folds import fold_summary
from support.labelled import make_dataset, make_label_rows, make_labelled_shards

ROW = "name: lab\ntitle: Lab\nsource: lab\nlabels: [left, right]\nfolds: 2\nclips: 24\n"
ROW += "alignment: {left: happy, right: sadness}\n"
SETS = ["batch=6", "micro_batch=6", "workers=0", "epochs=1", "threads=1"]


def write_fold(run: Path, fold: int, right: list[bool]) -> Path:
    """Write the test predictions of a fold: two clips of each person, right or wrong as said."""
    keys = tuple(f"{fold}-{clip}" for clip in range(len(right)))
    truth_N = np.arange(len(right)) % 2
    predicted_N = np.where(right, truth_N, 1 - truth_N)
    predictions = Predictions(keys=keys, truth=truth_N.astype(float), scores_NJ=np.eye(2)[predicted_N])
    write_predictions(run / "predictions/last.json", SimpleNamespace(data=make_dataset()), predictions)
    return run


def test_mean_and_deviation_are_of_folds_and_the_pooled_score_is_of_clips(tmp_path: Path) -> None:
    runs = {
        1: write_fold(tmp_path / "1", 1, [True] * 8),
        2: write_fold(tmp_path / "2", 2, [True, False, True, True]),
    }
    unit_of = {f"{fold}-{clip}": f"{fold}-{clip // 2}" for fold in runs for clip in range(8)}
    summary = fold_summary(make_dataset(), runs, unit_of)
    assert list(summary["protocols"]) == ["last"], "no run has a model by another protocol"
    entry = summary["protocols"]["last"]
    war = entry["scores"]["WAR"]
    assert (entry["clips"], entry["people"]) == (12, 6)
    assert war["folds"] == [1.0, 0.75]
    assert war["mean"] == pytest.approx(0.875)
    assert war["deviation"] == pytest.approx(np.std([1.0, 0.75], ddof=1))
    assert war["pooled"] == pytest.approx(11 / 12), "folds of other sizes weigh by their clips"
    assert war["interval"][0] < 11 / 12 < war["interval"][1]


def test_a_mean_over_folds_without_a_class_is_undefined(tmp_path: Path) -> None:
    runs = {1: write_fold(tmp_path / "1", 1, [True]), 2: write_fold(tmp_path / "2", 2, [True, False])}
    auc = fold_summary(make_dataset(), runs, {})["protocols"]["last"]["scores"]["AUC"]
    assert auc["folds"][0] is None, "a single clip has one class"
    assert (auc["mean"], auc["deviation"]) == (None, None)
    assert auc["pooled"] is not None
    assert auc["no_interval"] == "too few: 3 people, 5 are needed"


@pytest.mark.slow
def test_every_fold_is_trained_and_started_from_its_own_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_labelled_shards(tmp_path, {"lab": make_label_rows(6, 2)})
    (tmp_path / "lab.yaml").write_text(ROW)
    common = ["--shards", str(tmp_path / "shards"), "--recipe", "nano", "--fold", "all"]
    common += [part for setting in SETS for part in ("--set", setting)]
    row = str(tmp_path / "lab.yaml")
    assert main(["posttrain", "--target", row, "--out", str(tmp_path / "psi"), *common]) == 0
    start = str(tmp_path / "psi/fold-{fold}")
    argv = ["finetune", "--dataset", row, "--out", str(tmp_path / "ft"), "--model", start, *common]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "Lab: 2 folds, percent" in out
    summary = read_json(tmp_path / "ft/folds.json", "fold results")
    assert summary["folds"] == [1, 2]
    assert set(summary["protocols"]) == {"validation", "test_best", "last"}
    runs = [read_json(tmp_path / f"ft/fold-{number}/run.json", "training run") for number in (1, 2)]
    assert [run["task"] for run in runs] == ["lab/fold_1", "lab/fold_2"]
    assert len({run["start"] for run in runs}) == 2, "each fold starts from the model that was post-pre-trained for it"
    before = (tmp_path / "ft/folds.json").read_bytes()
    assert main(argv) == 0, "finished folds are not trained again"
    assert (tmp_path / "ft/folds.json").read_bytes() == before


@pytest.mark.slow
def test_two_processes_train_every_fold(tmp_path: Path) -> None:
    make_labelled_shards(tmp_path, {"lab": make_label_rows(6, 2)})
    (tmp_path / "lab.yaml").write_text(ROW)
    argv = ["finetune", "--dataset", str(tmp_path / "lab.yaml"), "--shards", str(tmp_path / "shards")]
    argv += ["--recipe", "nano", "--fold", "all", "--device", "cpu", "--out", str(tmp_path / "ft")]
    argv += [part for setting in [*SETS, "micro_batch=3"] for part in ("--set", setting)]
    launch = [sys.executable, "-m", "avf_training.distributed.launch", "2", "avf_training.cli.main"]
    subprocess.run([*launch, *argv], check=True, timeout=400, capture_output=True)
    summary = read_json(tmp_path / "ft/folds.json", "fold results")
    assert summary["folds"] == [1, 2]
    assert all((tmp_path / f"ft/fold-{number}/result.json").is_file() for number in (1, 2))


def test_a_fold_that_is_no_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["finetune", "--dataset", "dfew", "--shards", "S", "--recipe", "nano", "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit):
        main([*argv, "--fold", "every"])
    assert "'every' is neither a number nor all" in capsys.readouterr().err
    assert main([*argv, "--fold", "all", "--train-on", "iemocap"]) == 2
    assert "--train-on has a single fold" in capsys.readouterr().err
