"""A typing error in a recipe is found before anything is done, with its file and line, and with all others."""

from pathlib import Path

import pytest
from avf_curation.cli.main import main as curate
from avf_training.cli.main import main as train

RECIPE = """\
sync:
  min_confidence: 4
silence: {min_pause_s: 0.9}
sync:
  min_confidenc: 2
sources:
  interview:
    sync: {min_confidence: high}
plan: {unit_videos: 0, unit_mb: -1}
"""


def refusal(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on standard error that refuse something, without the name of the command and the indent."""
    lines = [line.removeprefix("  ") for line in capsys.readouterr().err.splitlines()]
    return [line.removeprefix("avf-curate: ").removeprefix("avf-train: ") for line in lines]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", [("plan",), ("run", "--engine", "inline"), ("estimate",)])
def test_all_faults_of_a_recipe_come_at_once(
    command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.yaml").write_text(RECIPE)
    words = [*command, "--source", "interviews=in", "--out", "run", "--recipe", "mine.yaml", "--weights", "none"]
    assert curate(words) == 2
    assert refusal(capsys) == [
        "mine.yaml:4: sync: given twice, first in line 1; keep one of them",
        "mine.yaml:9: plan: unit_videos 0 must be at least 1",
        "mine.yaml:9: plan: unit_mb -1 must be above 0",
        "mine.yaml:5: sync.min_confidenc: unknown setting; did you mean 'min_confidence'?",
        "mine.yaml:8: sources.interview.sync.min_confidence: expected a number, got 'high'",
        "mine.yaml:7: sources.interview: unknown source; did you mean 'interviews'? Known are interviews of --source, "
        "and the corpora of `avf-curate sources ls`",
    ]
    assert not (folder / "run").exists()


def test_settings_of_a_source_that_no_run_has_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--source", "interviews=in", "--out", "run", "--weights", "none"]
    (folder / "mine.yaml").write_text("sources:\n  interview:\n    sync: {min_confidence: 2}\n  tv: {}\n")
    assert curate([*words, "--recipe", "mine.yaml", "--set", "sources.vlog.sync.min_confidence=4"]) == 2
    lines = refusal(capsys)
    assert [line.partition(": unknown source;")[0] for line in lines] == [
        "mine.yaml:2: sources.interview",
        "mine.yaml:4: sources.tv",
        "--set sources.vlog.sync.min_confidence=4: sources.vlog",
    ]
    assert "did you mean 'interviews'?" in lines[0]
    (folder / "mine.yaml").write_text("hybrid:\n  sources:\n    interview: {quota: 3}\n")
    assert curate([*words, "--recipe", "mine.yaml"]) == 2
    assert refusal(capsys)[0].startswith("mine.yaml:3: hybrid.sources.interview: unknown source; did you mean")
    assert not (folder / "run").exists()


def test_a_recipe_may_name_corpora_that_a_run_does_not_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in/a.mp4").write_bytes(b"x")
    assert curate(["plan", "--source", "vox2=in", "--out", "run", "--recipe", "hybrid", "--weights", "none"]) == 0
    assert [line for line in refusal(capsys) if "sources." in line] == [
        "hybrid.yaml:7: sources.voxceleb2 names no source of this run; is it meant for vox2?",
        "hybrid.yaml:23: hybrid.sources.voxceleb2 names no source of this run; is it meant for vox2?",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("sources", "check", "voxceleb=in"),
        ("plan", "--source", "voxceleb=in", "--out", "run"),
        ("run", "--source", "voxceleb=in", "--out", "run"),
        ("estimate", "--source", "voxceleb=in", "--out", "run"),
    ],
)
def test_a_misspelt_corpus_is_refused_alike_everywhere(
    words: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curate([*words]) == 2
    (line,) = refusal(capsys)
    assert line.startswith("source name 'voxceleb': did you mean voxceleb2?")


def test_training_recipes_studies_and_data_sets_are_read_alike(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in/x-000000.tar").write_bytes(b"")
    (folder / "mine.yaml").write_text("based_on: nano\nsteps: 0\noptim:\n  base_lrr: 1\nsteps: -1\nbatch: many\n")
    assert train(["pretrain", "--recipe", "mine.yaml", "--shards", "in", "--out", "run"]) == 2
    assert refusal(capsys) == [
        "mine.yaml:5: steps: given twice, first in line 2; keep one of them",
        "mine.yaml:6: batch: expected a whole number, got 'many'",
        "mine.yaml:4: optim.base_lrr: unknown setting; did you mean 'base_lr'?",
    ]
    (folder / "mine.yaml").write_text("name: lab\nname: lab2\ntitle: Lab\nsource: s\ntask: feelings\nfolds: 1\n")
    assert train(["finetune", "--recipe", "nano", "--dataset", "mine.yaml", "--shards", "in", "--out", "run"]) == 2
    assert refusal(capsys)[:2] == [
        "mine.yaml:2: name: given twice, first in line 1; keep one of them",
        "mine.yaml:5: task: 'feelings' is not one of 'emotion', 'dimensions', 'micro_expression', 'detection'",
    ]
    (folder / "study.yaml").write_text("title: T\nrows:\n  a: {recipe: nano, stages: [finetune, pretrain]}\ntitle: U\n")
    assert train(["study", "study.yaml", "--shards", "in", "--out", "run"]) == 2
    assert refusal(capsys) == [
        "study.yaml:4: title: given twice, first in line 1; keep one of them",
        "study.yaml:3: rows.a: stages ['finetune', 'pretrain'] must be some of pretrain, posttrain, finetune, "
        "in that order",
        "study.yaml:3: rows.a: the last of stages must be finetune: a study compares what is tested",
        "study.yaml: datasets: missing, and it has no default",
    ]
