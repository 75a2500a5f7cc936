"""Ranks that srun starts without torchrun: numbers, GPUs and address come from the environment of the step."""

import os

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.distributed.environment import ALONE, WorldSize, launched_world, local_rank, refuse_several_processes
from avf_training.distributed.slurm import first_host, rendezvous_address

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "2",
    "SLURM_NTASKS": "16",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_PROCID": "11",
    "SLURM_LOCALID": "3",
    "SLURM_NODELIST": "gpu[07-08]",
}


@pytest.fixture(autouse=True)
def step(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "RANK", "WORLD_", "MASTER_", "LOCAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("RAY_RAYLET_PID", raising=False)
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)


def test_a_task_of_srun_is_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched_world() == WorldSize(16, 11)
    assert local_rank(8) == 3
    assert local_rank(1) == 0, "--gpus-per-task shows each task its own"
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    assert launched_world() == WorldSize(16, 11)
    with pytest.raises(UserError, match=r"SLURM_LOCALID=3: this node's task sees 2 GPUs"):
        local_rank(2)


def test_ranks_of_torchrun_in_a_task_of_srun_are_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "4"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert launched_world() == WorldSize(4, 1)
    assert local_rank(1) == 1


@pytest.mark.parametrize("change", [{"SLURM_STEP_ID": None}, {"RAY_RAYLET_PID": "7"}])
def test_a_batch_script_and_a_worker_of_ray_are_no_tasks(
    change: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in change.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert launched_world() == ALONE
    assert local_rank(8) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLURM_PROCID", "16", "SLURM_PROCID=16 is not one of SLURM_STEP_NUM_TASKS=16"),
        ("SLURM_PROCID", "-1", "SLURM_PROCID='-1': must be a whole number"),
        ("SLURM_STEP_NUM_TASKS", "x", "SLURM_STEP_NUM_TASKS='x': must be a whole number"),
    ],
)
def test_bad_values_are_refused(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        launched_world()


def test_what_runs_in_one_process_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^x runs in one process, and srun started 16; start it with --ntasks=1$"):
        refuse_several_processes("x")
    assert main(["study", "table21", "--shards", "x", "--out", "no-such-folder/T"]) == 2
    assert "study runs in one process, and srun started 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu[07-08]", "gpu07"),
        ("gpu7", "gpu7"),
        ("login,gpu[1-2]", "login"),
        ("gpu[03,05-09],x", "gpu03"),
        ("rack[2-3]n[01-04]-ib,y", "rack2n01-ib"),
        ("10.0.0.1,10.0.0.2", "10.0.0.1"),
        ("", ""),
    ],
)
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


def test_ranks_meet_at_the_first_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendezvous_address() == ("gpu07", 20_000 + 4711 + 202)
    monkeypatch.setenv("SLURM_STEP_NODELIST", "gpu08")
    assert rendezvous_address()[0] == "gpu08", "a step may be smaller than its job"
    monkeypatch.setenv("MASTER_ADDR", "ib0")
    monkeypatch.setenv("MASTER_PORT", "1234")
    assert rendezvous_address() == ("ib0", 1234)
    for name in ("MASTER_ADDR", "SLURM_STEP_NODELIST", "SLURM_NODELIST"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="set MASTER_ADDR"):
        rendezvous_address()
