"""Runs of a study get the GPUs that they ask for, on this machine and on Ray, and their cost is estimated before."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from avf_shards.stores.mirror import StoreMirror
from avf_shards.system.mirror_registry import add_mirror, forget_mirrors
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.models.flops import training_flops
from avf_training.models.presets import preset
from avf_training.study import launcher
from avf_training.study.estimate import describe_estimate, estimate_study
from avf_training.study.launcher import LocalLauncher, RayLauncher, fit_gpus, log_path, log_tail, run_all
from avf_training.study.plan import Job, Study, StudyInputs, StudyRow, load_study, study_matrix
from avf_training.tasks.labelled_shards import LabelledShards
from support.faulty_store import SharedObjects, SteppedStore
from support.labelled import make_label_rows, make_labelled_shards

ROW = "name: lab\ntitle: Lab\nsource: lab\nlabels: [left, right]\nfolds: 2\nclips: 24\n"


def make_job(out: Path, gpus: int, *needs: Path, stage: str = "finetune", recipe: str = "avfmaepp_b") -> Job:
    argv = ("avf-train", stage, "--recipe", recipe, "--out", str(out))
    return Job(stage=stage, out=out, argv=argv, needs=needs, done=out / "result.json", gpus=gpus)


@pytest.mark.parametrize(
    ("recipe", "asked", "available", "fitted"),
    [("avfmaepp_b", 8, 8, 8), ("avfmaepp_b", 8, 4, 4), ("avfmaepp_b", 8, 3, 2), ("avfmaepp_b", 8, 1, 1),
     ("avfmaepp_b", 8, 0, 0), ("avfmaepp_b", 0, 8, 0), ("hicmae_b", 4, 8, 4), ("hicmae_b", 4, 3, 2)],
)  # fmt: skip
def test_a_run_takes_the_most_gpus_that_its_batch_can_be_split_over(
    recipe: str, asked: int, available: int, fitted: int
) -> None:
    assert fit_gpus(make_job(Path("o"), asked, stage="pretrain", recipe=recipe), available).gpus == fitted


def test_shipped_studies_pretrain_on_the_papers_gpus() -> None:
    inputs = StudyInputs(shards=["L"], unlabelled=["U"], starts={}, folds_of={"mafw_11": 1, "mer24": 1})
    jobs = study_matrix(load_study("table24"), Path("o"), inputs).jobs
    assert {(Path(job.recipe).stem, job.gpus) for job in jobs if job.stage == "pretrain"} == {
        ("hicmae_b", 4), ("avfmaepp_b", 8), ("avfmaepp_l", 8), ("avfmaepp_h", 8)
    }  # fmt: skip
    assert {job.gpus for job in jobs if job.stage != "pretrain"} == {1}
    on_cpu = study_matrix(load_study("table24"), Path("o"), replace(inputs, device="cpu")).jobs
    assert {job.gpus for job in on_cpu} == {0}
    assert [job.out for job in jobs] == [job.out for job in on_cpu], "the same runs continue on another machine"


def test_gpus_of_a_machine_go_to_one_run_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], str]] = []

    class Process:
        pid, status = 1, None

        def __init__(self, command: list[str], env: dict[str, str], **options: object) -> None:
            started.append((command, env.get("CUDA_VISIBLE_DEVICES", "")))

        def poll(self) -> int | None:
            return self.status

    monkeypatch.setattr(launcher.subprocess, "Popen", Process)
    local = LocalLauncher(8, ["3", "5", "7"])
    single, double, triple = (make_job(tmp_path / str(gpus), gpus) for gpus in (1, 2, 3))
    first = local.start(single)
    assert local.has_free_slot(double)
    assert not local.has_free_slot(triple)
    local.start(double)
    assert not local.has_free_slot(single), "all three GPUs are taken"
    first.status = 0
    assert local.poll(first) == 0
    assert local.has_free_slot(single)
    assert [gpus for _, gpus in started] == ["3", "5,7"]
    assert started[0][0][1:4] == ["-P", "-m", "avf_training.cli.main"]
    assert started[1][0][1:6] == ["-P", "-m", "avf_training.distributed.launch", "2", "avf_training.cli.main"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("launching")
    make_labelled_shards(folder, {"lab": make_label_rows(6, 2)})
    (folder / "lab.yaml").write_text(ROW)
    rows = {"both": StudyRow(recipe="nano", stages=("finetune",))}
    study = Study(title="Small", rows=rows, datasets=(str(folder / "lab.yaml"),), folds=(1,))
    sets = ["batch=6", "micro_batch=3", "workers=0", "epochs=2", "threads=1"]
    inputs = StudyInputs(
        shards=[str(folder / "shards")], unlabelled=[], starts={}, folds_of={study.datasets[0]: 2}, overrides=sets,
        device="cpu",
    )  # fmt: skip
    return SimpleNamespace(folder=folder, study=study, inputs=inputs)


@pytest.mark.slow
def test_a_run_on_two_gpus_is_a_run_of_torchrun_with_two_processes(lab: SimpleNamespace, tmp_path: Path) -> None:
    (job,) = study_matrix(lab.study, tmp_path, lab.inputs).jobs
    # --device cpu keeps the processes on the CPU; the GPUs' numbers stand for two free places.
    assert run_all([replace(job, gpus=2)], LocalLauncher(4, ["0", "1"]), print) == []
    parts = {path.name for path in job.out.glob("checkpoints/*/*.distcp")}
    assert parts == {"__0_0.distcp", "__1_0.distcp"}, "two processes saved their part of the state"
    assert (job.out / "result.json").is_file()


@pytest.mark.slow
def test_a_run_on_two_gpus_fails_with_its_own_message(lab: SimpleNamespace, tmp_path: Path) -> None:
    inputs = replace(lab.inputs, shards=[str(tmp_path / "absent")])
    (job,) = study_matrix(lab.study, tmp_path, inputs).jobs
    (failure,) = run_all([replace(job, gpus=2)], LocalLauncher(4, ["0", "1"]), print)
    assert failure.message.startswith(f"avf-train: {tmp_path / 'absent'}: has no manifest.json")


OMP = "W1127 08:06:57.708000 {0} torch/distributed/run.py:851] "
ENDS = (
    "W1127 08:07:03.645000 {0} torch/distributed/elastic/multiprocessing/api.py:1012] Sending process 7 closing signal"
)
# torchrun names its file as Python's path has it: from the working folder, or from the folder of the packages.
FAILED = "E1127 08:07:03.680000 {0} .venv/lib/torch/distributed/elastic/api.py:986] failed (exitcode: 2) rank: 0"
REPORT = f"{FAILED}\nTraceback (most recent call last):\nChildFailedError: \n{60 * '='}\nmain FAILED\n{60 * '='}\n"


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("", "its log is empty"),
        ("avf-train: epoch 1\nTraceback\nOutOfMemoryError: 2 GB\n\n", "OutOfMemoryError: 2 GB"),
        (f"{OMP}\navf-train: no shards\n{ENDS}\navf-train: stopped\n{REPORT}", "avf-train: no shards"),
        (f"{OMP}\navf-train: epoch 1\nOutOfMemoryError: 2 GB\n{ENDS}\n{REPORT}", "OutOfMemoryError: 2 GB"),
        (f"avf-train: no shards{ENDS}\n{REPORT}resource_tracker: 1 leaked\n", "avf-train: no shards"),
        (f"{ENDS}\nSignalException: Process 9 got signal: 15\n", "SignalException: Process 9 got signal: 15"),
    ],
)
def test_the_message_of_a_failed_run_is_what_it_wrote_before_the_report_of_torchrun(
    tmp_path: Path, log: str, message: str
) -> None:
    (tmp_path / "run.log").write_text(log.format(9))
    assert log_tail(tmp_path / "run.log") == message
    earlier = f"avf-train: an earlier start\n{REPORT.format(4)}"
    (tmp_path / "run.log").write_text(earlier + log.format(9))
    assert log_tail(tmp_path / "run.log", len(earlier.encode())) == message


@pytest.mark.slow
def test_a_task_of_ray_asks_for_the_gpus_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    script = "import os, sys; print('sees', os.environ.get('CUDA_VISIBLE_DEVICES')); open(sys.argv[1], 'w').close()"
    monkeypatch.setattr(launcher, "_command", lambda job: [sys.executable, "-c", script, str(job.done)])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "num_gpus": 3})
    ray = RayLauncher(cluster.address)
    try:
        assert (ray.gpus, ray.total_gpus) == (3, 3)
        jobs = [make_job(tmp_path / str(number), gpus, stage="pretrain") for number, gpus in enumerate((2, 1))]
        for job in jobs:
            job.out.mkdir()
        assert run_all(jobs, ray, print) == []
        seen = [log_path(job).read_text().split()[1].split(",") for job in jobs]
        assert [len(gpus) for gpus in seen] == [2, 1]
    finally:
        ray.stop()
        cluster.shutdown()


def test_the_cost_of_a_run_is_computed_from_its_steps_and_scores(lab: SimpleNamespace, tmp_path: Path) -> None:
    shards = LabelledShards(lab.inputs.shards, StorageConfig())
    jobs = study_matrix(lab.study, tmp_path, lab.inputs).jobs
    estimate = estimate_study(jobs, shards, gpus=0, slots=1, teraflops=2.0)
    (each,) = estimate.jobs
    # 24 clips in 2 folds: 12 to test, 4 of a person to validate, 8 to train on in 2 epochs: 16 // 6 = 2 steps of 6.
    # A score after each epoch and two windows of each test clip for three protocols cost a third of a step's work.
    scored = 2 * (4 + 12) + 2 * 3 * 12
    assert each.clips == 2 * 6 + int(scored / 3)
    assert each.flops == pytest.approx(each.clips * training_flops(preset("nano", "av"), 2))
    assert estimate.hours == pytest.approx(each.flops / 2e12 / 3600)
    assert any("hours of the CPU" in line for line in describe_estimate(estimate))


def test_the_end_of_a_study_is_that_of_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avf_training.study import estimate as module

    hours = {"a": 4.0, "b": 1.0, "c": 2.0, "d": 1.0}
    flops = {name: value * 3600 * 1e12 * gpus for (name, value), gpus in zip(hours.items(), (2, 1, 1, 1), strict=True)}
    monkeypatch.setattr(module, "_labelled_work", lambda job, shards, tasks: (1, flops[job.out.name]))
    a = make_job(tmp_path / "a", 2)
    jobs = [a, make_job(tmp_path / "b", 1), make_job(tmp_path / "c", 1), make_job(tmp_path / "d", 1, a.out)]
    estimate = module.estimate_study(jobs, None, gpus=2, slots=2, teraflops=1.0)
    assert [each.hours for each in estimate.jobs] == pytest.approx([4, 1, 2, 1])
    assert estimate.gpu_hours == pytest.approx(2 * 4 + 1 + 2 + 1)
    assert estimate.hours == pytest.approx(6), "a on both GPUs; b and c side by side; d after b, which ends first"
    assert module.estimate_study(jobs, None, gpus=4, slots=4, teraflops=1.0).hours == pytest.approx(5), "d after a"


@pytest.mark.parametrize(("count", "gpus", "expected_h"), [(4, 4, 11), (3, 2, 21), (4, 1, 44), (4, 0, 44)])
def test_rows_that_pretrain_use_all_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, gpus: int, expected_h: float
) -> None:
    """Rows pre-train for 10 h and fine-tune for 1 h; of three on two GPUs, short runs go beside the last long one."""
    from avf_training.study import estimate as module

    monkeypatch.setattr(module, "_pretraining_work", lambda job: (1, 10 * 3600 * 1e12))
    monkeypatch.setattr(module, "_labelled_work", lambda job, shards, tasks: (1, 3600 * 1e12))
    settings = [{"pretrain": {"epochs": 100 + number}} for number in range(count)]
    rows = {
        f"row {number}": StudyRow(recipe="avfmaepp_b", stages=("pretrain", "finetune"), settings=each)
        for number, each in enumerate(settings)
    }
    study = Study(title="Rows", rows=rows, datasets=("mafw_11",), folds=(1,))
    inputs = StudyInputs(shards=["L"], unlabelled=["U"], starts={}, folds_of={"mafw_11": 1})
    jobs = [fit_gpus(job, gpus) for job in study_matrix(study, tmp_path, inputs).jobs]
    assert len(jobs) == 2 * count
    estimate = module.estimate_study(jobs, None, gpus=gpus, slots=max(1, gpus), teraflops=1.0)
    assert estimate.hours == pytest.approx(expected_h)


def test_an_impossible_number_of_gpus_is_refused(lab: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="gpus of pretrain: 0 must be at least 1"):
        StudyRow(recipe="nano", stages=("finetune",), gpus={"pretrain": 0})
    with pytest.raises(ValueError, match="gpus of 'train', which is no stage"):
        StudyRow(recipe="nano", stages=("finetune",), gpus={"train": 2})
    argv = ["study", "table25", "--shards", lab.inputs.shards[0], "--out", str(lab.folder / "out")]
    assert main([*argv, "--jobs", "0"]) == 2
    assert "--jobs 0 must be at least 1" in capsys.readouterr().err
    assert main([*argv, "--teraflops", "-1"]) == 2
    assert "--teraflops -1 must be above 0" in capsys.readouterr().err


def test_each_run_of_a_study_in_a_store_is_there_when_it_ends(tmp_path: Path) -> None:
    objects, stored_after = SharedObjects(), list[set[str]]()
    store = SteppedStore(objects)
    store.is_free = True
    mirror = StoreMirror(store, tmp_path / "study")
    mirror.pull()
    add_mirror(mirror)

    class Launcher:
        gpus = total_gpus = 0

        def has_free_slot(self, job: Job) -> bool:
            return True

        def start(self, job: Job) -> Job:
            stored_after.append(set(objects.contents))
            return job

        def poll(self, job: Job) -> int:
            job.done.parent.mkdir(parents=True, exist_ok=True)
            job.done.write_text("{}")
            return 0

        def stop(self) -> None: ...

    first = make_job(tmp_path / "study/first", 0)
    second = make_job(tmp_path / "study/second", 0, first.out)
    try:
        assert run_all([first, second], Launcher(), lambda text: None) == []
    finally:
        forget_mirrors()
    keys = [job.done.relative_to(tmp_path / "study").as_posix() for job in (first, second)]
    assert stored_after == [set(), {keys[0]}]
    assert set(objects.contents) == set(keys)
