"""The expert's answer for a clip is of the fold that never saw it; anything else is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.data.storage import StorageConfig
from avf_training.expert.fold_answers import ExpertAnswers, list_fold_runs, read_expert_answers
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LearnedClips, read_learned
from support.expert_runs import write_fold_runs
from support.labelled import make_dataset, make_label_rows, make_labelled_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_shards(tmp_path_factory.mktemp("expert"), {"lab": make_label_rows(4, 1)})


@pytest.fixture
def folds(shards: Path, tmp_path: Path) -> Path:
    write_fold_runs(tmp_path / "folds", make_dataset(), shards)
    return tmp_path / "folds"


def answers_of(folds: Path, shards: Path) -> ExpertAnswers:
    runs = list_fold_runs([folds], None)
    return read_expert_answers(runs, LabelledShards([shards], StorageConfig()), "validation")


def test_each_clip_has_the_answer_of_the_fold_that_tests_it(folds: Path, shards: Path) -> None:
    answers = answers_of(folds, shards)
    assert len(answers.of_clip) == 8
    assert answers.without_answer == 0
    for number in (1, 2):
        predictions = json.loads((folds / f"fold-{number}/predictions/validation.json").read_text())
        trained = json.loads((folds / f"fold-{number}/run.json").read_text())["train"]
        for key, scores in zip(predictions["keys"], predictions["scores"], strict=True):
            assert answers.of_clip[key].fold == number
            assert list(answers.of_clip[key].scores) == scores
            assert key not in trained


def test_answers_of_another_fold_are_refused(folds: Path, shards: Path) -> None:
    first, second = (folds / f"fold-{number}/predictions/validation.json" for number in (1, 2))
    moved = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(moved)
    with pytest.raises(UserError, match=r"has an answer for .+, which lab/fold_1 trains on; is it the file of another"):
        answers_of(folds, shards)


@pytest.mark.parametrize("moved", [("run.json", "predictions/validation.json"), ("learned.parquet",)])
def test_a_list_of_another_run_is_refused(folds: Path, shards: Path, moved: tuple[str, ...]) -> None:
    for name in moved:  # everything but the list of what was learned, or that list alone
        first, second = folds / "fold-1" / name, folds / "fold-2" / name
        content = first.read_bytes()
        shutil.copy(second, first)
        second.write_bytes(content)
    with pytest.raises(UserError, match=r"learned\.parquet: does not have .+ trains on; is it of another run"):
        answers_of(folds, shards)


def test_a_model_whose_start_learned_from_the_clip_is_refused(folds: Path, shards: Path) -> None:
    """The list of a run has what the stages before it learned from, too."""
    tested = json.loads((folds / "fold-2/run.json").read_text())["test"]
    own = read_learned(folds / "fold-2/learned.parquet")
    (own | LearnedClips.from_keys(tested[:1], labelled=True)).write(folds / "fold-2")
    with pytest.raises(UserError, match=rf"the model has learned from {tested[0]}"):
        answers_of(folds, shards)


def test_a_run_without_its_list_is_refused(folds: Path, shards: Path) -> None:
    (folds / "fold-2/learned.parquet").unlink()
    with pytest.raises(UserError, match=r"has no learned\.parquet, so what its model has learned from is not known"):
        answers_of(folds, shards)


def test_answers_that_are_missing_or_of_another_class_are_refused(folds: Path, shards: Path) -> None:
    path = folds / "fold-1/predictions/validation.json"
    values = json.loads(path.read_text())
    shorter = {**values, **{name: values[name][1:] for name in ("keys", "truth", "scores")}}
    path.write_text(json.dumps(shorter))
    with pytest.raises(UserError, match=rf"has no answer for {values['keys'][0]}, which lab/fold_1 tests"):
        answers_of(folds, shards)
    path.write_text(json.dumps({**values, "truth": [1 - values["truth"][0], *values["truth"][1:]]}))
    with pytest.raises(UserError, match=r"is of class"):
        answers_of(folds, shards)


def test_folders_are_looked_into_and_others_refused(folds: Path, shards: Path, tmp_path: Path) -> None:
    assert [run.name for run in list_fold_runs([folds], "lab")] == ["fold-1", "fold-2"]
    with pytest.raises(UserError, match="--dataset other: no run is of it; they are of lab"):
        list_fold_runs([folds], "other")
    with pytest.raises(UserError, match="holds no run"):
        list_fold_runs([tmp_path / "nothing"], None)
    study = tmp_path / "study/runs/finetune"
    study.parent.mkdir(parents=True)
    shutil.copytree(folds, study)
    assert [run.parent for run in list_fold_runs([tmp_path / "study"], None)] == [study, study]
    (folds / "fold-2/result.json").unlink()
    with pytest.raises(UserError, match="fold-2: is not finished"):
        list_fold_runs([folds], None)


def test_runs_of_two_seeds_or_of_other_data_are_refused(folds: Path, shards: Path, tmp_path: Path) -> None:
    labelled = LabelledShards([shards], StorageConfig())
    (seed,) = write_fold_runs(tmp_path / "seed", make_dataset(), shards)[:1]
    with pytest.raises(UserError, match="name the runs of a single row and seed"):
        read_expert_answers([*list_fold_runs([folds], None), seed], labelled, "validation")
    other = write_fold_runs(tmp_path / "other", replace(make_dataset(), name="second"), shards)
    with pytest.raises(UserError, match="the runs are of lab, second; choose with --dataset"):
        read_expert_answers([*list_fold_runs([folds], None), *other], labelled, "validation")


def test_a_fold_that_is_not_given_leaves_its_clips_without_a_prompt(folds: Path, shards: Path) -> None:
    answers = answers_of(folds / "fold-1", shards)
    assert (len(answers.of_clip), answers.without_answer) == (4, 4)
