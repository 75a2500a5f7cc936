"""A user's labels.csv becomes a data set without an edited line."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.new_dataset import infer_dataset
from support.labelled import make_label_rows, make_labelled_shards
from support.training_runs import SHALLOW

ONE_EPOCH = [
    word
    for setting in (SHALLOW, "epochs=1", "batch=4", "micro_batch=4", "workers=0", "threads=1")
    for word in ("--set", setting)
]


def infer(folder: Path, rows: Sequence[dict[str, str]], **choice: str) -> Dataset:
    shards = make_labelled_shards(folder, {"mine": rows})
    return infer_dataset(LabelledShards([shards], StorageConfig()), **choice).data


def test_from_labels_csv_to_a_finished_fine_tuning_without_an_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The columns are those of docs/howto/own-labels.md: file, label, subject, fold."""
    rows = [row | {"fold": str(1 + (row["subject"] in ("p2", "p3")))} for row in make_label_rows(4)]
    shards = make_labelled_shards(tmp_path, {"mine": rows})
    assert main(["datasets", "--new", str(shards)]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    words = ["--shards", str(shards), "--recipe", "nano", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main(["finetune", "--dataset", str(tmp_path / "mine.yaml"), *words, *ONE_EPOCH]) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["data"] == "mine"
    assert result["test"] == 8
    assert find_dataset(str(tmp_path / "mine.yaml")).split == "predefined"


def test_folds_keep_people_apart_else_sessions_else_recordings(tmp_path: Path) -> None:
    people = infer(tmp_path / "people", make_label_rows(3))
    assert (people.split, people.folds, people.labels, people.label_field) == (
        "subject_blocks",
        3,
        ("left", "right"),
        "label",
    )
    rows = [{"emotion": row["label"], "session": row["subject"]} for row in make_label_rows(7)]
    sessions = infer(tmp_path / "sessions", rows)
    assert (sessions.split, sessions.folds, sessions.label_field) == ("session", 5, "emotion")
    alone = infer(tmp_path / "alone", make_label_rows(1, 10))
    assert (alone.split, alone.folds, alone.subjects_overlap) == ("group", 5, True)


def test_numbers_are_dimensions(tmp_path: Path) -> None:
    rows = [{"valence": f"{number - 3}.5", "arousal": str(number), "subject": f"p{number}"} for number in range(6)]
    data = infer(tmp_path / "both", rows)
    assert (data.task, data.dimensions, data.metrics) == ("dimensions", ("arousal", "valence"), ("PCC", "CCC"))
    assert data.range == (-3.5, 5.0)
    valence = infer(tmp_path / "valence", rows, column="valence")
    assert valence.dimensions == ("valence",)


def test_a_label_that_a_fold_cannot_train_is_excluded_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*make_label_rows(4), {"label": "rare", "subject": "p1"}]
    shards = make_labelled_shards(tmp_path, {"mine": rows})
    assert main(["datasets", "--new", str(shards)]) == 0
    text = capsys.readouterr().out
    assert "# excluded, because in some fold no clip is left to train on: rare" in text
    assert "labels: [left, right]" in text


@pytest.mark.parametrize(
    ("rows", "choice", "message"),
    [
        ([{"label": "a", "subject": "p1"}, {"label": "b"}], {}, "1 of 2 clips have no subject"),
        ([{"label": "a", "fold": "1"}, {"label": "b"}], {}, "1 of 2 clips have no fold"),
        ([{"label": "a"}, {"label": "a"}], {}, "column 'label' holds one label only, 'a'"),
        ([{"mood": "a", "tone": "c"}, {"mood": "b", "tone": "d"}], {}, "columns mood, tone could be the labels"),
        ([{"label": "a"}, {"label": "b"}], {"column": "lable"}, "--column lable: unknown column of labels; did you"),
        ([{"label": "a"}, {"label": "b"}], {"source": "mone"}, "--source mone: unknown labelled source; did you mean"),
        ([{"label": "a"}, {"label": "b"}], {}, "no folds leave two classes to train on"),
    ],
)
def test_what_cannot_be_inferred_is_said_in_one_sentence(
    rows: list[dict[str, str]],
    choice: dict[str, str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shards = make_labelled_shards(tmp_path, {"mine": rows})
    options = [word for name, value in choice.items() for word in (f"--{name}", value)]
    assert main(["datasets", "--new", str(shards), *options]) == 2
    assert message in capsys.readouterr().err


def test_datasets_prints_the_names_that_dataset_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it; a pipe has no width
    assert main(["datasets"]) == 0
    output = capsys.readouterr().out
    for name in ("mafw_11", "crema_d_4", "avcaffe_valence"):
        assert f"\n{name} " in output
    assert output.startswith("--dataset ")


def test_a_name_without_its_ending_leads_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^mine: unknown data set; did you mean 'smic'"):
        find_dataset("mine")
    (tmp_path / "mine.yaml").write_text("labels: [a, b]\n")
    with pytest.raises(UserError, match=r"^mine: unknown data set; did you mean the file mine\.yaml\?$"):
        find_dataset("mine")
