"""Ray: warm actors, one unit in flight each, on this machine or a cluster. The work itself is worker.py's.

A unit that has killed its worker `kills` times is run again with each of its videos alone in a child. The death of a
node, the raylet or the driver never counts against a unit. A run never hangs: a unit that exceeds its time counts as a
death, a lost cluster ends the run with an error.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError, WorkerCrashedError

from avf_curation import interrupt
from avf_curation.backends.threads import VARIABLES
from avf_curation.failure import InfrastructureError
from avf_curation.isolate import longest_alone_s
from avf_curation.unit import UnitJob, UnitReport
from avf_curation.worker import UnitWorker, WorkerSetup

_LOG = logging.getLogger("avf_curation")
_COMMIT_TRIES = 3
_SILENCE_S = 15.0  # without news for this long, ask whether the cluster lives


@dataclass
class _Busy:
    """A worker with a unit in flight."""

    actor: Any
    node: str
    job: UnitJob
    alone: bool
    since: float


def run_units(jobs: Iterator[UnitJob], setup: WorkerSetup, workers: int, address: str | None) -> Iterator[UnitReport]:
    """Run `jobs` on `workers` actors; reports as units finish. Raises InfrastructureError."""
    started = _connect(workers, address, setup.device)
    pool = _Pool(setup, workers)
    try:
        yield from pool.run(jobs)
    except (RayError, ConnectionError) as error:
        what = type(error).__name__
        raise InfrastructureError(f"the Ray cluster was lost ({what}); the same command goes on") from None
    finally:
        pool.stop()
        if started:
            ray.shutdown()


def _connect(workers: int, address: str | None, device: str) -> bool:
    """Join the cluster at `address`, or start one on this machine; whether it is ours to shut down."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address=address, **common)
        else:
            gpus = 0 if device == "cpu" else None  # None: Ray counts them
            ray.init(
                num_cpus=workers, num_gpus=gpus, include_dashboard=False, object_store_memory=200_000_000, **common
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = address or "this machine"
        raise InfrastructureError(f"no Ray cluster on {where}: {' '.join(str(error).split())[:300]}") from None
    return True


class _Actor:
    """Runs in a Ray worker process."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._worker = UnitWorker(setup)

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: UnitJob, alone: bool) -> UnitReport:
        return self._worker.run_isolated(job) if alone else self._worker.run(job)


class _Pool:
    def __init__(self, setup: WorkerSetup, workers: int) -> None:
        self._setup, self._size = setup, workers
        self._idle: list[tuple[Any, str]] = []
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, _Busy] = {}
        self._deaths: dict[int, int] = {}
        self._tries: dict[int, int] = {}
        self._lost_starts = 0
        self._last_news = time.monotonic()

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        waiting: deque[UnitJob] = deque()
        alone_units: set[int] = set()
        while True:
            interrupt.check()
            waiting.extend(islice(jobs, max(0, self._size - len(waiting))))
            if not waiting and not self._busy:
                return
            self._grow(min(self._size, len(waiting) + len(self._busy)))
            while self._idle and waiting:
                actor, node = self._idle.pop()
                job = waiting.popleft()
                alone = job.unit in alone_units
                reference = actor.run.remote(job, alone)
                self._busy[reference] = _Busy(actor, node, job, alone, time.monotonic())
            for reference in self._ready():
                if reference in self._starting:
                    self._started(reference)
                    continue
                busy = self._busy.pop(reference)
                report = self._result(reference, busy, waiting, alone_units)
                if report is not None:
                    yield report
            self._stop_overdue()

    def _grow(self, wanted: int) -> None:
        gpus = 0 if self._setup.device == "cpu" else 1
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Actor)
        environment = {"env_vars": dict.fromkeys(VARIABLES, "1") | {"PYTHONPATH": _python_path()}}
        while len(self._idle) + len(self._starting) + len(self._busy) < wanted:
            actor = remote.options(runtime_env=environment).remote(self._setup)
            self._starting[actor.node.remote()] = actor

    def _ready(self) -> list[Any]:
        references = [*self._starting, *self._busy]
        ready, _ = ray.wait(references, num_returns=1, timeout=1.0, fetch_local=True)
        if ready:
            self._last_news = time.monotonic()
        elif time.monotonic() - self._last_news > _SILENCE_S:
            self._last_news = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):  # Ray itself would wait for ever
                raise InfrastructureError("no node of the Ray cluster is alive; the same command goes on")
            if not self._busy and not self._idle:
                _LOG.warning("waiting for the Ray cluster to start a worker (1 CPU each)")
        return list(ready)

    def _started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._idle.append((actor, ray.get(reference, timeout=10)))
            self._lost_starts = 0
        except (RayActorError, GetTimeoutError, RayTaskError) as error:
            self._lost_starts += 1
            if self._lost_starts > 5:
                raise InfrastructureError(f"workers do not start: {' '.join(str(error).split())[-300:]}") from None

    def _result(
        self, reference: Any, busy: _Busy, waiting: "deque[UnitJob]", alone_units: set[int]
    ) -> UnitReport | None:
        unit = busy.job.unit
        try:
            report: UnitReport = ray.get(reference)
        except (RayActorError, WorkerCrashedError, ray.exceptions.OutOfMemoryError):
            if self._node_lives(busy.node):
                self._deaths[unit] = self._deaths.get(unit, 0) + 1
                _LOG.warning("unit %d: its worker died (%d)", unit, self._deaths[unit])
                if self._deaths[unit] >= self._setup.recipe.run.kills:
                    alone_units.add(unit)
            waiting.appendleft(busy.job)
            if self._deaths.get(unit, 0) > self._setup.recipe.run.kills + 3:
                raise InfrastructureError(f"unit {unit} kills its worker even with each video alone") from None
            return None
        except RayTaskError as error:
            self._idle.append((busy.actor, busy.node))
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if isinstance(cause, FileNotFoundError) and self._tries.get(unit, 0) < _COMMIT_TRIES:
                self._tries[unit] = self._tries.get(unit, 0) + 1  # another driver swept our temporary folder
                waiting.appendleft(busy.job)
                return None
            if isinstance(cause, InfrastructureError | OSError):
                raise InfrastructureError(str(cause)) from None
            raise
        self._idle.append((busy.actor, busy.node))
        return report

    def _node_lives(self, node: str) -> bool:
        """Whether a worker died alone, or with its node. A node's death takes a moment to be known."""
        for _ in range(2):
            if not any(one["NodeID"] == node and one["Alive"] for one in ray.nodes()):
                return False
            time.sleep(0.5)
        return True

    def _stop_overdue(self) -> None:
        for busy in self._busy.values():
            limit = self._setup.recipe.run.unit_timeout_s
            if busy.alone:  # each video has limits of its own
                limit += len(busy.job.videos) * longest_alone_s(self._setup.recipe.run.video_cpu_s)
            if time.monotonic() - busy.since > limit:
                _LOG.warning("unit %d: still running after %g s, its worker is stopped", busy.job.unit, limit)
                ray.kill(busy.actor)
                busy.since = time.monotonic()

    def stop(self) -> None:
        """Stop all workers at once; what they had not committed is done again by the next start."""
        actors = [busy.actor for busy in self._busy.values()] + [actor for actor, _ in self._idle]
        for actor in [*actors, *self._starting.values()]:
            try:
                ray.kill(actor)
            except Exception:
                _LOG.debug("a worker was gone already")


def _python_path() -> str:
    import sys

    return os.pathsep.join(path for path in sys.path if path and Path(path).is_dir())
