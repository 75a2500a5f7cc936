"""Studies build every model, share and resume runs, and state in words which setting is better."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch
from avf_shards.errors import UserError
from avf_shards.schema.versions import read_json
from avf_training.cli.main import main
from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.pretrain import FOLDER, load_recipe
from avf_training.evaluation.intervals import Interval, McNemar, PairedDifference
from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS
from avf_training.study.launcher import LocalLauncher, RayLauncher, run_all
from avf_training.study.plan import StudyInputs, load_study, select_rows, study_matrix
from avf_training.study.results import RowComparison
from avf_training.tasks.catalog import DATASETS, find_dataset
from avf_training.tasks.published import published_figures
from support.labelled import make_label_rows, make_labelled_shards
from support.models import random_batch, tiny_config
from support.waiting import wait_until

STUDIES = sorted(path.stem for path in (FOLDER / "study").glob("*.yaml"))
STARTS = {name: Path(name) for name in (*PRESETS, "maedfer")}


@cache  # runs that differ in seed, fold or corpus have the same model
def build_model(config: ModelConfig, outputs: int | None) -> None:
    with torch.device("meta"):
        if outputs is None:
            MaskedAutoencoder(config)
        else:
            Classifier(config, outputs)


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "it_learns"])
def test_every_run_of_every_study_builds_its_recipe_and_model(name: str) -> None:
    study = load_study(name)
    folds = dict.fromkeys(study.datasets, 2)
    matrix = study_matrix(
        study, Path("out"), StudyInputs(shards=["L"], unlabelled=["U"], starts=STARTS, folds_of=folds)
    )
    assert len(matrix.cells) == len(study.rows) * len(study.datasets) * len(study.folds or (1, 2)) * len(study.seeds)
    built = {
        (job.stage, job.argv[job.argv.index("--recipe") + 1], tuple(b for a, b in pairwise(job.argv) if a == "--set"))
        for job in matrix.jobs
    }
    for stage, recipe, sets in built:
        if stage == "pretrain":
            build_model(load_recipe(recipe, sets).model_config(), None)
        else:
            build_model(load_finetune_recipe(stage, recipe, sets).model_config(), 7)
    tables = {row.published_as for row in study.rows.values()} - {None}
    assert all(any(figure.table == table for figure in published_figures()) for table in tables)


def test_some_rows_of_a_study_need_only_their_models() -> None:
    study = select_rows(load_study("table7"), ["HiCMAE-B", "AVF-MAE++ B"])
    inputs = StudyInputs(
        shards=["L"], unlabelled=[], starts={"hicmae_b": Path("h"), "avfmaepp_b": Path("b")}, folds_of={"mafw_11": 5}
    )
    matrix = study_matrix(study, Path("o"), inputs)
    assert len(matrix.cells) == 2 * 5
    assert study.rows["AVF-MAE++ B"].without == "HiCMAE-B"
    assert select_rows(load_study("table7"), ["AVF-MAE++ L"]).rows["AVF-MAE++ L"].without is None
    with pytest.raises(UserError, match="did you mean 'HiCMAE-B'"):
        select_rows(load_study("table7"), ["HiCMAE B"])


def test_every_table_of_results_has_a_study() -> None:
    tables = {row.published_as for name in STUDIES for row in load_study(name).rows.values()}
    assert {f"Table {number}" for number in range(7, 27)} <= tables


def test_rows_share_common_runs() -> None:
    matrix = study_matrix(
        load_study("table24"),
        Path("o"),
        StudyInputs(shards=["L"], unlabelled=["U"], starts={}, folds_of={"mafw_11": 5, "mer24": 5}),
    )
    pretrained = [job for job in matrix.jobs if job.stage == "pretrain"]
    assert len(pretrained) == 8, "PSI starts from the same pre-training as IAV-CL"
    assert len({job.out for job in matrix.jobs}) == len(matrix.jobs)
    before: set[Path] = set()
    for job in matrix.jobs:
        assert set(job.needs) <= before, "what a run needs comes before it"
        before.add(job.out)


def test_published_figures_are_of_known_data_sets_and_metrics() -> None:
    assert len(published_figures()) > 200
    pairs = {"msp_improv_to_crema_d_4", "ravdess_to_iemocap"}
    for figure in published_figures():
        assert figure.dataset in {data.name for data in DATASETS} | pairs
        assert all(0 < value < 100 for value in figure.scores.values())
    best = next(
        figure for figure in published_figures() if (figure.dataset, figure.method) == ("mafw_11", "AVF-MAE++ (H)")
    )
    assert best.scores == {"UAR": 46.05, "WAR": 60.24}
    # The first two are other folds of clips listed under another row; DFME's figures are of language models.
    without_figures = {"mer24_tv", "werewolf_xl_subjects", "dfme_a", "dfme_b"}
    affect = {data.name for data in DATASETS if data.task != "detection"}  # papers on fakes do not name their test sets
    assert affect - without_figures <= {figure.dataset for figure in published_figures()}


def test_every_ablation_changes_the_outputs() -> None:
    video, audio = random_batch(tiny_config())
    answers = {}
    for name, changes in {
        "whole": {},
        "no dier": {"dier": False},
        "no hafe": {"hafe": False},
        "last layer": {"layer_fusion": False},
        "cross": {"fusion": "cross"},
        "raw": {"fusion": "cross", "information_flow": "raw_input"},
        "video first": {"fusion": "cross", "information_flow": "video_first"},
        "audio first": {"fusion": "cross", "information_flow": "audio_first"},
        "no fusion": {"fusion": "cross", "fusion_depth": 0},
    }.items():
        torch.manual_seed(0)
        model = Classifier(tiny_config(**changes), 3).eval()
        answers[name] = model(video, audio).logits_BJ.sum().item()
        unused = [n for n, p in model.named_parameters() if not has_gradient(model, p, video, audio)]
        assert not unused, f"{name}: {unused[:3]} learn nothing"
    assert len({round(value, 6) for value in answers.values()}) == len(answers)
    with pytest.raises(ValueError, match="dier and hafe are parts of fusion 'iavcl'"):
        tiny_config(fusion="cross", dier=False)
    with pytest.raises(ValueError, match="information_flow 'raw_input' is of fusion 'cross'"):
        tiny_config(information_flow="raw_input")
    with pytest.raises(UserError, match=r"variant\.encodre: unknown setting; did you mean 'encoder'"):
        load_finetune_recipe("finetune", "nano", ["variant={encodre: vit}"]).model_config()


def has_gradient(model: Classifier, parameter: torch.Tensor, video: torch.Tensor, audio: torch.Tensor) -> bool:
    if not hasattr(model, "_grads"):
        model.train()
        loss = model(video, audio).logits_BJ.square().sum()
        model._grads = {
            id(p): g is not None
            for p, g in zip(
                model.parameters(), torch.autograd.grad(loss, list(model.parameters()), allow_unused=True), strict=True
            )
        }
    return model._grads[id(parameter)]


STUDY = """
title: Small
datasets: [{row}]
folds: [1]
seeds: [0, 1]
rows:
  both: {{recipe: nano, stages: [finetune], without: face}}
  face: {{recipe: nano, stages: [finetune], modalities: v}}
"""
ROW = """
name: lab
title: Lab
source: lab
task: emotion
labels: [left, right]
folds: 2
split: subject_blocks
metrics: [UAR, WAR]
clips: 24
label_field: label
"""
SETS = ["batch=6", "micro_batch=6", "workers=0", "epochs=1", "threads=1"]


def study_command(folder: Path, *options: str) -> list[str]:
    sets = [part for setting in SETS for part in ("--set", setting)]
    return [
        "study",
        str(folder / "study.yaml"),
        "--shards",
        str(folder / "shards"),
        "--out",
        str(folder / "out"),
        *sets,
        *options,
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    make_labelled_shards(folder, {"lab": make_label_rows(6, 2)})
    (folder / "lab.yaml").write_text(ROW)
    (folder / "study.yaml").write_text(STUDY.format(row=folder / "lab.yaml"))
    return folder


@pytest.mark.slow
def test_a_study_runs_resumes_and_writes_a_page(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(study_command(lab, "--dry-run")) == 0
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == 4
    assert all(command.startswith("to do") for command in commands)
    assert main(study_command(lab)) == 0
    out = capsys.readouterr()
    assert "4 runs, 0 done already" in out.err
    assert " on Lab: " in out.out or " on lab: " in out.out
    values = read_json(lab / "out/study.json", "study results")
    validation = [row for row in values["rows"] if row["protocol"] == "validation"]
    assert [(row["row"], row["done"], len(row["per_seed"]["UAR"])) for row in validation] == [
        ("both", 2, 2),
        ("face", 2, 2),
    ]
    page = (lab / "out/report.html").read_text()
    assert page.count('<div class="chart"') >= 11, "scores; confusion, recalls, reliability, loss, features of two rows"
    assert "validation (epoch selected on a part of the training fold)" in page
    assert main(study_command(lab)) == 0
    assert "4 runs, 4 done already" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failed_run_is_named_and_the_others_continue(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = STUDY.replace("modalities: v", "start: absent").replace("seeds: [0, 1]", "seeds: [0]")
    (tmp_path / "study.yaml").write_text(broken.format(row=lab / "lab.yaml"))
    argv = [str(tmp_path / "study.yaml") if part.endswith("study.yaml") else part for part in study_command(lab)]
    argv[argv.index("--out") + 1] = str(tmp_path / "out")
    argv += ["--model", f"absent={tmp_path}/absent"]
    assert main([*argv, "--set", "epochs=0"]) == 2
    assert "epochs 0 must be above 0" in capsys.readouterr().err, "a recipe is refused before any run starts"
    assert main(argv) == 1
    out = capsys.readouterr()
    assert "FAILED  finetune lab-fold1-nano-seed0" in out.err
    assert "absent: holds no saved model" in out.err
    assert "1 of 1" in out.out


@pytest.mark.slow
def test_a_study_that_is_terminated_terminates_its_runs(lab: Path, tmp_path: Path) -> None:
    argv = study_command(lab)
    argv[argv.index("--out") + 1] = str(tmp_path / "out")
    study = subprocess.Popen([sys.executable, "-m", "avf_training.cli.main", *argv], stderr=subprocess.PIPE, text=True)
    assert study.stderr is not None
    while not study.stderr.readline().startswith("avf-train: started"):
        assert study.poll() is None
    runs = wait_until(lambda: training_processes(study.pid), "a run of the study")
    study.terminate()
    assert study.wait(timeout=120) == 130
    assert not [run for run in runs if run.is_running() and run.status() != psutil.STATUS_ZOMBIE]


def training_processes(parent: int) -> list[psutil.Process]:
    """Return the processes below `parent` that run `avf-train`."""
    processes = []
    for process in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "avf_training.cli.main" in process.cmdline():
                processes.append(process)
    return processes


def test_jobs_wait_for_their_dependencies_and_fail_only_with_them(tmp_path: Path) -> None:
    study = load_study("figure4")
    matrix = study_matrix(
        study,
        tmp_path,
        StudyInputs(
            shards=["L"],
            unlabelled=[],
            starts={"avfmaepp_b": tmp_path / "B"},
            folds_of=dict.fromkeys(study.datasets, 1),
        ),
    )

    class FakeLauncher:
        gpus = total_gpus = 0

        def __init__(self) -> None:
            self.started: list[str] = []

        def has_free_slot(self, job: object) -> bool:
            return True

        def start(self, job: object) -> object:
            self.started.append(job.name)
            return job

        def poll(self, handle: object) -> int:
            if handle.stage == "posttrain" and "mer24" in handle.name:
                return 2
            handle.done.parent.mkdir(parents=True)
            handle.done.write_text("{}")
            return 0

        def stop(self) -> None: ...

    launcher = FakeLauncher()
    failures = run_all(matrix.jobs, launcher, lambda text: None)
    assert [failure.job.stage for failure in failures] == ["posttrain"]
    assert len(launcher.started) == len(matrix.jobs) - 1, "the fine-tuning after it was not started"
    first = launcher.started.index(next(name for name in launcher.started if name.startswith("posttrain mafw_11")))
    assert all(not name.startswith("finetune mafw_11") or "-" in name for name in launcher.started[:first])
    second_launcher = FakeLauncher()
    run_all(matrix.jobs, second_launcher, lambda text: None)
    assert len(second_launcher.started) == 1, "only what is not done is started again"


def test_a_comparison_states_its_result_in_words() -> None:
    def sentence(interval: Interval, *values: float, pooled: bool = False) -> str:
        return RowComparison(
            row="a",
            without="b",
            dataset="lab",
            metric="UAR",
            differences=values,
            paired=PairedDifference(difference=0.19, interval=interval, p_value=0.012, units=12),
            mcnemar=McNemar(first_only=9, second_only=1, p_value=0.021),
            pooled=pooled,
        ).sentence

    assert sentence(Interval(low=0.05, high=0.33), 0.1, 0.3) == (
        "a beats b on lab: UAR +20.0 points on average, above in 2 of 2 (same fold and seed); all clips together "
        "+19.0, 95 % +5.0 to +33.0 over 12 people, p = 0.012; in the first seed only a is right on 9 clips, only b on "
        "1 (McNemar p = 0.021, clips as if independent)"
    )
    assert "a and b are not told apart on lab" in sentence(Interval(low=-0.01, high=0.4), 0.1, 0.3)
    assert "a is beaten by b on lab" in sentence(Interval(low=-0.4, high=-0.1), -0.1, -0.3)
    few = sentence(Interval(reason="too few: 4 people, 5 are needed"), 0.1, 0.3)
    assert few.startswith("a beside b on lab: UAR +20.0 points")
    assert "no interval (too few: 4 people, 5 are needed)" in few
    assert "(same seed)" in sentence(Interval(low=0.05, high=0.33), 0.2, pooled=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"stages: [finetune], without: face": "stages: [posttrain], without: face"},
            "the last of stages must be finetune",
        ),
        ({"without: face": "without: fase"}, "unknown row 'fase'; did you mean 'face'"),
        ({"modalities: v": "settings: {{fine: {{}}}}"}, "settings of 'fine', which is no stage"),
        ({"modalities: v": "start: big"}, "rows.face: starts from 'big'; give it with --model big=MODEL"),
        (
            {"stages: [finetune], modalities": "stages: [pretrain, finetune], modalities"},
            "give its shards with --unlabelled",
        ),
    ],
)
def test_an_invalid_study_is_refused_with_the_reason(
    lab: Path, tmp_path: Path, change: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "study.yaml").write_text(text.format(row=lab / "lab.yaml"))
    argv = [str(tmp_path / "study.yaml") if part.endswith("study.yaml") else part for part in study_command(lab)]
    assert main(argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_on_ray_gives_the_results_of_the_local_machine(lab: Path, tmp_path: Path) -> None:
    study = replace(load_study(str(lab / "study.yaml")), seeds=(0,))
    title = str(lab / "lab.yaml")
    matrices = [
        study_matrix(
            study,
            tmp_path / name,
            StudyInputs(shards=[str(lab / "shards")], unlabelled=[], starts={}, folds_of={title: 2}, overrides=SETS),
        )
        for name in ("local", "ray")
    ]
    assert find_dataset(title).name == "lab"
    assert run_all(matrices[0].jobs, LocalLauncher(1), print) == []
    cluster = RayLauncher(None, 1)
    try:
        assert run_all(matrices[1].jobs, cluster, print) == []
    finally:
        cluster.stop()
    for local_cell, ray_cell in zip(matrices[0].cells, matrices[1].cells, strict=True):
        local_predictions = (local_cell.out / "predictions/last.json").read_text()
        assert (ray_cell.out / "predictions/last.json").read_text() == local_predictions


def test_a_study_compared_on_test_clips_needs_their_scores() -> None:
    inputs = StudyInputs(
        shards=["L"], unlabelled=["U"], starts=STARTS, folds_of={"mafw_11": 5}, overrides=["finetune:score_test=false"]
    )
    study = select_rows(load_study("table7"), ["AVF-MAE++ B"])
    assert study.selected_by == "test_best"
    with pytest.raises(UserError, match=r"rows.AVF-MAE\+\+ B: score_test false leaves nothing to select by test_best"):
        study_matrix(study, Path("o"), inputs)
    assert study_matrix(replace(study, selected_by="last"), Path("o"), inputs).cells
