"""Training from Python: the models of the command line, the same sentences, and Ctrl-C leaves a run to continue."""

import os
import signal
from pathlib import Path
from typing import Any

import avf_training as train
import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.trainer.train_step import TrainStep
from support.labelled import make_label_rows, make_labelled_shards
from support.training_runs import SHALLOW

ROW = "name: lab\ntitle: Lab\nsource: lab\nlabels: [left, right]\nfolds: 2\nclips: 24\n"
ROW += "alignment: {left: happy, right: sadness}\n"
SETTINGS = {"batch": 6, "micro_batch": 6, "workers": 0, "epochs": 4, "threads": 1}
WORDS = [SHALLOW, *(f"{name}={value}" for name, value in SETTINGS.items())]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    make_labelled_shards(folder, {"lab": make_label_rows(6, 2)})
    (folder / "lab.yaml").write_text(ROW)
    return folder


def start(lab: Path, out: Path, **changes: object) -> train.StageRun:
    recipe, settings = changes.pop("recipe", "nano"), changes.pop("settings", WORDS)
    options = train.FinetuneOptions(**{"device": "cpu", **changes})  # type: ignore[arg-type]
    return train.finetune(str(lab / "lab.yaml"), lab / "shards", out, recipe, settings=settings, options=options)  # type: ignore[arg-type]


def command(lab: Path, out: Path, words: list[str] = WORDS) -> list[str]:
    argv = ["finetune", "--dataset", str(lab / "lab.yaml"), "--shards", str(lab / "shards"), "--recipe", "nano"]
    return [*argv, "--device", "cpu", "--out", str(out), *(part for word in words for part in ("--set", word))]


def models(run: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}
    assert len(files) >= 2
    return files


@pytest.fixture(scope="module")
def finished(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("command") / "run"
    assert main(command(lab, run)) == 0
    return run


def test_python_trains_the_model_of_the_command_line(finished: Path, lab: Path, tmp_path: Path) -> None:
    seen: list[tuple[Path, bool]] = []
    run = start(lab, tmp_path / "run", on_run=lambda out, done: seen.append((out, done)))
    assert models(run.folder) == models(finished)
    assert (run.folder / "result.json").read_bytes() == (finished / "result.json").read_bytes()
    assert (run.finished, run.folds, seen) == (True, {1: run.folder}, [(run.folder, True)])
    assert run.result()["task"] == "lab/fold_1"
    assert run.model("last") == run.folder / "model"
    with pytest.raises(UserError, match="fold 2: this run has 1"):
        run.result(2)


@pytest.mark.slow
def test_an_interrupt_leaves_a_run_that_the_same_call_continues(
    finished: Path, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step, steps = TrainStep.run, list[int]()

    def interrupt(self: TrainStep[Any], step: int, batches: Any) -> Any:
        steps.append(step)
        if steps == [0, 1]:
            os.kill(os.getpid(), signal.SIGINT)
        return run_step(self, step, batches)

    monkeypatch.setattr(TrainStep, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start(lab, tmp_path / "run")
    assert steps == [0, 1], "it ends after the step at which Ctrl-C came"
    assert not (tmp_path / "run/result.json").exists()
    assert start(lab, tmp_path / "run").finished
    assert steps == list(range(len(steps))), "the second call begins where the first ended"
    assert len(steps) > 2
    assert models(tmp_path / "run") == models(finished)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"smoothing": 3}}, ["--set", "smoothing=3"]),
        ({"settings": {"optim": {"base_lrr": 1}}}, ["--set", "optim.base_lrr=1"]),
        ({"recipe": "nanno"}, ["--recipe", "nanno"]),
        ({"fold": 7}, ["--fold", "7"]),
        ({"fold": "all", "train_on": "iemocap"}, ["--fold", "all", "--train-on", "iemocap"]),
        ({"model": "nowhere"}, ["--model", "nowhere"]),
    ],
)
def test_a_wrong_value_is_refused_with_the_sentence_of_the_command_line(
    changes: dict[str, object],
    words: list[str],
    lab: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command(lab, tmp_path / "run", []), *words]) == 2
    with pytest.raises(UserError) as refusal:
        start(lab, tmp_path / "run", **{"settings": (), **changes})
    assert str(refusal.value) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_fold_that_is_no_number_and_a_device_that_is_none_are_refused(lab: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'every' is neither a number nor all"):
        start(lab, tmp_path / "run", fold="every")
    with pytest.raises(UserError, match="--device gpu: invalid choice"):
        start(lab, tmp_path / "run", device="gpu")
    assert not (tmp_path / "run").exists()
