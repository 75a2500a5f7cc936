"""Signals to a training run's process group, as `timeout`, Slurm and a terminal send them, and to the trainer alone."""

import inspect
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from avf_shards.system.child_process import child_environment
from avf_training.trainer.checkpoint import Checkpoints
from support.clips import make_flashing_shards
from support.training_runs import SHALLOW, pretrain_command, start_training, wait_for_lines
from support.waiting import wait_until

LONG = ("steps=100000", "checkpoint_every=100000", "workers=2")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("signals"), {"a": 14})


def is_running(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def start_with_workers(shards: Path, out: Path) -> tuple["subprocess.Popen[str]", list[psutil.Process]]:
    """Return a run in the middle of its training, and its loader workers."""
    running = start_training(shards, out, *LONG)
    wait_for_lines(running, out, 2)
    workers = psutil.Process(running.pid).children()
    assert len(workers) == 2
    return running, workers


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 0),
        pytest.param(signal.SIGUSR1, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_group_saves_and_leaves_no_worker(
    shards: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    out = tmp_path / "run"
    running, workers = start_with_workers(shards, out)
    os.killpg(running.pid, number)
    output = running.communicate(timeout=240)
    assert running.returncode == status, output
    (reached,) = Checkpoints(out, 9, 0).steps()
    assert f"a signal stopped the run at step {reached}; it is saved" in output[1]
    assert "Traceback" not in output[1]
    wait_until(lambda: not any(map(is_running, workers)), "the end of the workers")


def test_no_worker_outlives_a_trainer_that_was_killed(shards: Path, tmp_path: Path) -> None:
    running, workers = start_with_workers(shards, tmp_path / "run")
    running.kill()
    running.wait()
    wait_until(lambda: not any(map(is_running, workers)), "the end of the workers")


def outlives_sigterm(process: psutil.Process) -> bool:
    """Return whether a process blocks or ignores SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigBlk", "SigIgn"))]
    return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_of_every_start_method_work_and_end_with_the_trainer(shards: Path, tmp_path: Path, method: str) -> None:
    code = (
        f"import multiprocessing, sys; multiprocessing.set_start_method({method!r}); sys.argv[:] = sys.argv[2:]; "
        "from avf_training.cli.main import main; sys.exit(main())"
    )
    running = start_training(shards, tmp_path / "run", *LONG, launcher=("-c", code))
    wait_for_lines(running, tmp_path / "run", 2)
    assert running.poll() is None, running.communicate()
    processes = psutil.Process(running.pid).children(recursive=True)
    assert len(processes) >= 2
    assert all(map(outlives_sigterm, processes)), "the trainer alone decides when its fork server and its workers end"
    os.killpg(running.pid, signal.SIGTERM)
    _, errors = running.communicate(timeout=240)
    assert running.returncode == 0, errors
    assert "it is saved" in errors
    wait_until(lambda: not any(map(is_running, processes)), "the end of the workers")


@pytest.mark.slow
def test_a_run_saves_and_ends_with_a_launcher_that_was_killed(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, *pretrain_command(shards, out, SHALLOW, *LONG)]
    code = (
        "import subprocess, sys; from avf_shards.system.child_process import child_environment as environment; "
        "subprocess.run(sys.argv[1:], env=environment())"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code, *command], env=os.environ, start_new_session=True)
    wait_for_lines(launcher, out, 2)
    processes = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    launcher.wait()
    wait_until(lambda: not any(map(is_running, processes)), "the end of the run")
    assert len(Checkpoints(out, 9, 0).steps()) == 1


def test_a_child_of_a_launcher_that_has_ended_already_does_not_start() -> None:
    environment = child_environment() | {"AVF_PARENT_PID": "1"}
    done = subprocess.run([sys.executable, "-m", "avf_training.cli.main", "describe"], env=environment, check=False)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_ranks_save_and_end_with_a_torchrun_that_was_killed(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    running = start_training(shards, out, *LONG, "batch=8", "micro_batch=4", launcher=TORCHRUN)
    wait_for_lines(running, out, 2)
    processes = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    wait_until(lambda: not any(map(is_running, processes)), "the end of the ranks and workers")
    assert len(Checkpoints(out, 9, 0).steps()) == 1


def test_torchrun_gives_the_time_to_save_that_the_docs_say() -> None:
    """PyTorch's own default, which no option of torchrun changes; another one makes the page untrue."""
    from torch.distributed.elastic.multiprocessing.api import PContext

    seconds = inspect.signature(PContext.close).parameters["timeout"].default
    page = (Path(__file__).parents[2] / "docs/howto/resume.md").read_text("utf-8")
    assert f"Under torchrun a checkpoint has {seconds} s" in page
