"""Launchers for the runs of a study: several at a time on this machine, each on its GPUs, or tasks of a Ray cluster.

Each run is a process of its own with a log file beside its folder. A run that fails stops only the runs that need it.
"""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from avf_shards.system.child_process import child_environment, module_command
from avf_shards.system.mirror_registry import push
from avf_shards.system.named_writes import append_bytes
from avf_shards.text import count_noun, format_wait

from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.pretrain import load_recipe, most_devices
from avf_training.distributed.ray_cluster import connect_ray
from avf_training.study.plan import Job

log = logging.getLogger(__name__)
_POLL_S = 0.2
# What torchrun writes when it begins to end the processes of a run, or reports that one of them failed. The processes
# share the log with it, so that it may stand behind a line that one of them has not ended.
_TORCHRUN_ENDS = re.compile(r"[A-Z]\d{4} \S+ \d+ \S*torch/distributed/\S+\] (Sending process \d+|failed \(exitcode)")


@dataclass(frozen=True, kw_only=True)
class JobFailure:
    """A run that failed."""

    job: Job  # the run; started again, it resumes from its checkpoint
    status: int  # exit status; negative: ended by a signal or lost with its worker
    message: str  # last line that it wrote to its log


class JobLauncher(Protocol):
    """Starts runs on a machine or a cluster, and reports when they end."""

    gpus: int  # that a run can have at most
    total_gpus: int  # of all machines together

    def has_free_slot(self, job: Job) -> bool:
        """Return whether this run can be started now."""
        ...

    def start(self, job: Job) -> Any:
        """Start a run and return a handle for `poll`."""
        ...

    def poll(self, handle: Any) -> int | None:
        """Return the exit status of a run, or None while it runs."""
        ...

    def stop(self) -> None:
        """Stop the runs that have not ended; each saves its state and can be resumed."""
        ...


def run_all(jobs: Sequence[Job], launcher: JobLauncher, report: Callable[[str], None]) -> list[JobFailure]:
    """Run every job that is not done yet, each after the jobs it needs, and return those that failed.

    A job that needs a failed one is not started. On Ctrl-C, or any other exception, all runs are stopped.

    Args:
        report: called with a line for every start and end of a run.
    """
    # A run that asks for more GPUs than there are would wait for ever.
    waiting = [fit_gpus(job, launcher.gpus) for job in jobs if not job.done.is_file()]
    report(f"{len(jobs)} runs, {len(jobs) - len(waiting)} done already")
    started_s, planned = time.monotonic(), len(waiting)
    running: list[tuple[Job, Any]] = []
    start_bytes: dict[Path, int] = {}  # of each log, when its run was started
    failures: list[JobFailure] = []
    failed: set[Path] = set()  # folders of runs that failed, or that need one that failed
    try:
        while waiting or running:
            for job in [job for job in waiting if failed & set(job.needs)]:
                log.warning("%s: not started, a run that it needs has failed", job.name)
                waiting.remove(job)
                failed.add(job.out)
            start_bytes |= _start_ready(waiting, running, launcher, report)
            time.sleep(_POLL_S)
            for job, handle in list(running):
                status = launcher.poll(handle)
                if status is None:
                    continue
                running.remove((job, handle))
                push(job.out)  # of a study in an object store; its runs write to the mirror alone
                # A run that a signal stopped exits with 0 as well: only the file says that it is done.
                if status == 0 and job.done.is_file():
                    remaining = len(waiting) + len(running)
                    left_s = (time.monotonic() - started_s) / (planned - remaining) * remaining
                    report(f"done    {job.name}; {remaining} to do, about {format_wait(left_s)} left")
                else:
                    failed.add(job.out)
                    message = log_tail(log_path(job), start_bytes[job.out])
                    failures.append(JobFailure(job=job, status=status, message=message))
                    report(f"FAILED  {job.name}: {failures[-1].message}")
    except BaseException:
        launcher.stop()
        raise
    return failures


def _start_ready(
    waiting: list[Job], running: list[tuple[Job, Any]], launcher: JobLauncher, report: Callable[[str], None]
) -> dict[Path, int]:
    """Move jobs from `waiting` to `running` whose needs are done, as long as there are free slots.

    Returns:
        The size in bytes of each started run's log, by the run's folder.
    """
    start_bytes: dict[Path, int] = {}
    unfinished = {job.out for job in waiting} | {job.out for job, _ in running}
    for job in [job for job in waiting if not unfinished & set(job.needs)]:
        if not launcher.has_free_slot(job):
            break  # in order, so that a run that needs many GPUs is not overtaken for ever
        waiting.remove(job)
        start_bytes[job.out] = log_path(job).stat().st_size if log_path(job).is_file() else 0
        running.append((job, launcher.start(job)))
        report(f"started {job.name}")
    return start_bytes


def log_path(job: Job) -> Path:
    """Return the file that the output of a run goes to."""
    return job.out.with_name(f"{job.out.name}.log")


def log_tail(path: Path, start_byte: int = 0) -> str:
    """Return the last line that a run wrote to its log before torchrun reported the end of its processes.

    Args:
        start_byte: size of the log when the run was started; the log goes on where a run is started again.
    """
    log_bytes = path.read_bytes()[start_byte:] if path.is_file() else b""
    text = log_bytes.decode("utf-8", "replace")
    own_lines = _message_lines(text[: report.start()]) if (report := _TORCHRUN_ENDS.search(text)) else []
    lines = own_lines or _message_lines(text)
    return lines[-1] if lines else "its log is empty"


def _message_lines(text: str) -> list[str]:
    """Return the lines of a log that say something."""
    return [line for line in text.splitlines() if line.strip().strip("=")]


def _command(job: Job) -> list[str]:
    """Return the command of a run: one process, or torchrun with a process for each GPU."""
    module = "avf_training.cli.main"
    if job.gpus < 2:
        return module_command(module, *job.argv[1:])
    return module_command("avf_training.distributed.launch", str(job.gpus), module, *job.argv[1:])


def fit_gpus(job: Job, available: int) -> Job:
    """Return a run with as many GPUs as it asks for, or else the most of `available` that its batch can be split over.

    The number of processes does not change what a run computes, so fewer GPUs only take longer.
    """
    if not job.gpus or not available:
        return replace(job, gpus=0)
    recipe = (
        load_recipe(job.recipe, job.overrides)
        if job.stage == "pretrain"
        else load_finetune_recipe(job.stage, job.recipe, job.overrides)
    )
    return replace(job, gpus=most_devices(recipe.accumulation, min(job.gpus, available)))


class LocalLauncher:
    """Runs jobs on this machine: `slots` at a time, each on GPUs of its own where there are GPUs."""

    def __init__(self, slots: int, gpus: Sequence[str] = ()) -> None:
        self._slots, self._free = slots, list(gpus)
        self.gpus = self.total_gpus = len(gpus)
        self._running: dict[subprocess.Popen[bytes], list[str]] = {}

    def has_free_slot(self, job: Job) -> bool:
        return len(self._running) < self._slots and job.gpus <= len(self._free)

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        taken, self._free = self._free[: job.gpus], self._free[job.gpus :]
        environment = child_environment() | ({"CUDA_VISIBLE_DEVICES": ",".join(taken)} if taken else {})
        log_path(job).parent.mkdir(parents=True, exist_ok=True)
        with append_bytes(log_path(job)) as file:
            process = subprocess.Popen(_command(job), stdout=file, stderr=subprocess.STDOUT, env=environment)
        self._running[process] = taken
        where = f" on {'GPU' if len(taken) == 1 else 'GPUs'} {', '.join(taken)}" if taken else ""
        log.info("%s: process %d%s, log %s", job.name, process.pid, where, log_path(job))
        return process

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        status = handle.poll()
        if status is not None:
            self._free += self._running.pop(handle)
        return status

    def stop(self) -> None:
        for process in self._running:
            process.terminate()  # SIGTERM: the run saves and ends
        for process in self._running:
            process.wait()


class RayLauncher:
    """Runs jobs as tasks of a Ray cluster whose nodes see the same folders; each task asks for the GPUs of its run."""

    def __init__(self, address: str | None, slots: int | None = None) -> None:
        """Connect to a cluster.

        Raises UserError for the address "auto" where nobody has started a cluster on this machine.

        Args:
            slots: tasks at a time; None: as many as the cluster has GPUs, or else CPUs.
        """
        import ray

        resources = connect_ray(address or "local")
        self.gpus, self.total_gpus = resources.node_gpus, resources.gpus
        self._ray, self._slots, self._running = ray, slots or max(1, self.total_gpus or resources.cpus), 0
        # No retries by Ray: a run resumes from its checkpoint when the study is started again.
        self._task = ray.remote(num_cpus=1, max_retries=0)(_run_in_worker)

    def has_free_slot(self, job: Job) -> bool:
        return self._running < self._slots

    def start(self, job: Job) -> Any:
        self._running += 1
        log_path(job).parent.mkdir(parents=True, exist_ok=True)
        log.info("%s: task of the Ray cluster, %s, log %s", job.name, count_noun(job.gpus, "GPU"), log_path(job))
        task = self._task.options(num_gpus=job.gpus)
        return task.remote(_command(job)[1:], str(log_path(job)), _thread_variables())

    def poll(self, handle: Any) -> int | None:
        ready, _ = self._ray.wait([handle], timeout=0)
        if not ready:
            return None
        self._running -= 1
        try:
            return int(self._ray.get(handle))
        except self._ray.exceptions.RayError as error:  # the worker or its node died
            log.warning("a run was lost with its Ray worker (%s); start the study again to resume it", error)
            return -1

    def stop(self) -> None:
        self._ray.shutdown()


def _thread_variables() -> Mapping[str, str]:
    """Return the variables that bound the threads of a run; Ray does not pass the driver's environment on."""
    return {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_"))}


def _run_in_worker(arguments: list[str], log_file: str, variables: Mapping[str, str]) -> int:
    """Run a job as a child process of a Ray worker, which sees the GPUs of its task, and return its exit status."""
    environment = child_environment() | dict(variables)
    command = [sys.executable, *arguments]  # the Python of the node, which may lie elsewhere
    with append_bytes(Path(log_file)) as file:
        process = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    return process.returncode
