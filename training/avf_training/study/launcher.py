"""Runs of a study on what there is: a few at once on this machine, one for each GPU, or tasks of a Ray cluster.

Each run is a process of its own with a log beside its folder; one that fails takes only what needs it with it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from avf_training.study.plan import Job

Told = Callable[[str], None]
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class JobFailure:
    """A run that ended badly, and its last words."""

    job: Job
    status: int
    said: str


class Slot(Protocol):
    """Where runs go on. start gives a handle; done its exit status, or None while it runs."""

    def free(self) -> bool:
        """Whether another can be started now."""
        ...

    def start(self, job: Job) -> Any:
        """Start a run."""
        ...

    def done(self, handle: Any) -> int | None:
        """Its exit status, or None."""
        ...

    def stop(self) -> None:
        """End what still runs; each saves and can go on later."""
        ...


def run_all(jobs: Sequence[Job], place: Slot, told: Told) -> list[JobFailure]:
    """Every run that is not done yet, what is needed first first; those that failed. Ctrl-C ends all of them."""
    waiting = [job for job in jobs if not job.done.is_file()]
    told(f"{len(jobs)} runs, {len(jobs) - len(waiting)} done already")
    running: list[tuple[Job, Any]] = []
    failures: list[JobFailure] = []
    lost: set[Path] = set()
    try:
        while waiting or running:
            for job in [one for one in waiting if lost & set(one.needs)]:
                waiting.remove(job)
                lost.add(job.out)
            busy = {job.out for job in waiting} | {job.out for job, _ in running}
            for job in [one for one in waiting if not busy & set(one.needs)]:
                if not place.free():
                    break
                waiting.remove(job)
                running.append((job, place.start(job)))
                told(f"started {job.name}")
            time.sleep(_POLL_S)
            for job, handle in list(running):
                status = place.done(handle)
                if status is None:
                    continue
                running.remove((job, handle))
                if status == 0 and job.done.is_file():
                    told(f"done    {job.name}; {len(waiting) + len(running)} left")
                else:
                    lost.add(job.out)
                    failures.append(JobFailure(job=job, status=status, said=log_tail(log_of(job))))
                    told(f"FAILED  {job.name}: {failures[-1].said}")
    except BaseException:
        place.stop()
        raise
    return failures


def log_of(job: Job) -> Path:
    """Where a run's words go."""
    return job.out.with_name(f"{job.out.name}.log")


def log_tail(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else "it said nothing"


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", "avf_training.cli.main", *job.argv[1:]]


class LocalMachine:
    """`slots` at once; with GPUs, each run sees one."""

    def __init__(self, slots: int, gpus: Sequence[str] = ()) -> None:
        self._free = list(gpus) if gpus else [""] * slots
        self._running: dict[subprocess.Popen[bytes], str] = {}

    def free(self) -> bool:
        return bool(self._free)

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        slot = self._free.pop(0)
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": slot} if slot else {})}
        log_of(job).parent.mkdir(parents=True, exist_ok=True)
        with log_of(job).open("ab") as log:
            process = subprocess.Popen(_command(job), stdout=log, stderr=subprocess.STDOUT, env=environment)
        self._running[process] = slot
        return process

    def done(self, handle: subprocess.Popen[bytes]) -> int | None:
        status = handle.poll()
        if status is not None:
            self._free.append(self._running.pop(handle))
        return status

    def stop(self) -> None:
        for process in self._running:
            process.terminate()  # SIGTERM: the run saves and ends
        for process in self._running:
            process.wait()


class RayCluster:
    """Tasks of a Ray cluster that sees the same folders: each with `gpus` and `cpus`."""

    def __init__(self, address: str | None, gpus: float, cpus: float, at_once: int) -> None:
        import ray

        ray.init(address=address or "local", log_to_driver=False, configure_logging=False)
        self._ray, self._at_once, self._running = ray, at_once, 0
        self._task = ray.remote(num_gpus=gpus, num_cpus=cpus, max_retries=0)(_run_here)

    def free(self) -> bool:
        return self._running < self._at_once

    def start(self, job: Job) -> Any:
        self._running += 1
        log_of(job).parent.mkdir(parents=True, exist_ok=True)
        return self._task.remote(list(job.argv), str(log_of(job)), _carried())

    def done(self, handle: Any) -> int | None:
        ready, _ = self._ray.wait([handle], timeout=0)
        if not ready:
            return None
        self._running -= 1
        try:
            return int(self._ray.get(handle))
        except (
            self._ray.exceptions.RayError
        ):  # its worker or node died: the run goes on when the study is started again
            return -1

    def stop(self) -> None:
        self._ray.shutdown()


def _carried() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_"))}


def _run_here(argv: list[str], log: str, environment: Mapping[str, str]) -> int:
    """In a Ray worker: one run as a child process."""
    with open(log, "ab") as file:
        command = [sys.executable, "-m", "avf_training.cli.main", *argv[1:]]
        return subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment}, check=False
        ).returncode
