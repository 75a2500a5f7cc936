"""Ray: warm actors, one unit in flight each, on this machine or a cluster. The work itself is worker.py's.

One pool curates whole units; or, where refining wants GPUs, one pool screens on CPUs and a second one refines. What
goes between them is metadata; frames never travel.

A unit that has killed its worker `kills` times is run again with each of its videos alone in a child. The death of a
node, the raylet or the driver never counts against a unit. A run never hangs: a unit that exceeds its time counts as a
death, a lost cluster ends the run with an error.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError, WorkerCrashedError

from avf_curation.execution import signals
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event
from avf_curation.execution.isolated import isolated_timeout_s
from avf_curation.execution.ray_pool import ActorPool, PoolConfig, PooledActor
from avf_curation.execution.worker import ScreenedUnit, WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.unit import UnitJob, UnitReport

_LOG = logging.getLogger("avf_curation")
_COMMIT_TRIES = 3
_SILENCE_S = 15.0  # without news for this long, ask whether the cluster lives
_LOOK_S = 1.0  # between two looks at what runs too long, and at the size of the cluster
_AHEAD = 2  # screened units that wait for each refiner before screening pauses


@dataclass(kw_only=True)
class _Unit:
    """A unit on its way."""

    job: UnitJob
    screened: ScreenedUnit | None = None
    alone: bool = False
    deaths: int = 0
    tries: int = 0


@dataclass(kw_only=True)
class _Busy:
    """A worker with a unit in flight."""

    pool: ActorPool
    worker: PooledActor
    unit: _Unit
    since: float = field(default_factory=time.monotonic)


def run_units(
    jobs: Iterator[UnitJob], setup: WorkerSetup, cluster: ClusterConfig, tell: Callable[[Event], None]
) -> Iterator[UnitReport]:
    """Run `jobs`; reports as units finish. Raises InfrastructureError."""
    started = _connect(cluster, setup.device)
    flow = _Flow(setup, cluster, tell)
    try:
        yield from flow.run(jobs)
    except (RayError, ConnectionError) as error:
        what = type(error).__name__
        raise InfrastructureError(f"the Ray cluster was lost ({what}); the same command goes on") from None
    finally:
        flow.stop()
        if started:
            ray.shutdown()


def _connect(cluster: ClusterConfig, device: str) -> bool:
    """Join the cluster, or start one on this machine; whether it is ours to shut down."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if cluster.address:
            ray.init(address=cluster.address, **common)
        else:
            gpus = 0 if device == "cpu" else None  # None: Ray counts them
            cpus = (cluster.workers or os.cpu_count() or 1) + cluster.refiners
            ray.init(
                address="local",  # not a cluster that happens to run here: that is --address auto
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                object_store_memory=200_000_000,
                **common,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = cluster.address or "this machine"
        raise InfrastructureError(f"no Ray cluster on {where}: {' '.join(str(error).split())[:300]}") from None
    return True


class _Flow:
    """Units go from `waiting` to a worker, with two pools over `screened` to a refiner, and end as a report."""

    def __init__(self, setup: WorkerSetup, cluster: ClusterConfig, tell: Callable[[Event], None]) -> None:
        self._setup, self._tell = setup, tell
        self._follow_cluster = cluster.workers is None
        size = cluster.workers or _cpus() or 1
        gpus = 0.0 if setup.device == "cpu" else cluster.gpus_each
        if cluster.refiners:
            self._first = ActorPool(PoolConfig(kind="screen", size=size), setup)
            self._last = ActorPool(PoolConfig(kind="refine", size=cluster.refiners, gpus=gpus), setup)
        else:
            self._first = self._last = ActorPool(PoolConfig(kind="curate", size=size, gpus=gpus), setup)
        self._pools = (self._first,) if self._first is self._last else (self._first, self._last)
        self._waiting: deque[_Unit] = deque()
        self._screened: deque[_Unit] = deque()
        self._busy: dict[Any, _Busy] = {}
        self._gone: set[str] = set()  # nodes that were found dead
        self._start_timeout_s = cluster.start_timeout_s
        self._empty_since: dict[str, float] = {}  # pools that wait for their first worker
        self._last_news = self._looked = time.monotonic()

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        more = True
        while True:
            signals.check_interrupt()
            while more and len(self._waiting) < self._first.config.size:
                job = next(jobs, None)
                more = job is not None
                if job is not None:
                    self._waiting.append(_Unit(job=job))
            if not (self._waiting or self._screened or self._busy):
                return
            self._hand_out(more)
            for reference in self._ready():
                if any(pool.started(reference) for pool in self._pools):
                    continue
                report = self._result(reference, self._busy.pop(reference))
                if report is not None:
                    yield report
            if time.monotonic() - self._looked > _LOOK_S:
                self._looked = time.monotonic()
                self._stop_overdue()
                self._check_start()
                if self._follow_cluster and self._waiting:
                    self._grow_with_cluster()

    # -- out -----------------------------------------------------------------------------------------------------

    def _hand_out(self, more: bool) -> None:
        """Give waiting units to idle workers, the screened ones first: what is begun is ended."""
        two = self._first is not self._last
        if two:
            self._last.grow(len(self._screened) + self._last.busy)
            self._give(self._screened, self._last, self._last.config.size)
        room = len(self._waiting)
        if two and len(self._screened) >= _AHEAD * self._last.config.size:
            room = 0  # what is screened waits in this process: no more of it until refiners keep up
        self._first.grow(min(len(self._waiting), max(0, room)) + self._first.busy)
        self._give(self._waiting, self._first, room)
        if not more:
            for pool, queue in ((self._first, self._waiting), (self._last, self._screened)):
                if not queue and not (two and pool is self._last and (self._waiting or self._first.busy)):
                    pool.shrink()

    def _give(self, queue: deque[_Unit], pool: ActorPool, room: int) -> None:
        while queue and room > 0:
            worker = pool.take()
            if worker is None:
                return
            unit = queue.popleft()
            actor = worker.actor
            if pool.config.kind == "screen" and not unit.alone:
                reference = actor.screen.remote(unit.job)
            elif unit.screened is not None:
                reference = actor.refine.remote(unit.job, unit.screened)
            else:
                reference = actor.curate.remote(unit.job, unit.alone)
            self._busy[reference] = _Busy(pool=pool, worker=worker, unit=unit)
            self._tell(Event(name="unit_started", unit=unit.job.unit, pool=pool.config.kind, node=worker.node))
            room -= 1

    # -- in ------------------------------------------------------------------------------------------------------

    def _ready(self) -> list[Any]:
        references = [reference for pool in self._pools for reference in pool.starting] + list(self._busy)
        ready, _ = ray.wait(references, num_returns=1, timeout=1.0, fetch_local=True) if references else ([], [])
        if ready:
            self._last_news = time.monotonic()
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)  # all that are: one look for many
        elif time.monotonic() - self._last_news > _SILENCE_S:
            self._last_news = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):  # Ray itself would wait for ever
                raise InfrastructureError("no node of the Ray cluster is alive; the same command goes on")
            for pool in self._pools:
                if pool.starting and pool.empty:
                    self._tell(Event(name="waiting_for_cluster", pool=pool.config.kind, message=pool.told()))
        return list(ready)

    def _result(self, reference: Any, busy: _Busy) -> UnitReport | None:
        unit = busy.unit
        back = self._last_queue if unit.alone else self._waiting if unit.screened is None else self._screened
        try:
            result = ray.get(reference)
        except (RayActorError, WorkerCrashedError, ray.exceptions.OutOfMemoryError):
            busy.pool.lose()
            self._died(busy)
            (self._last_queue if unit.alone else back).appendleft(unit)
            return None
        except RayTaskError as error:
            busy.pool.give_back(busy.worker)
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if isinstance(cause, FileNotFoundError) and unit.tries < _COMMIT_TRIES:
                unit.tries += 1  # another coordinator swept our temporary folder
                back.appendleft(unit)
                return None
            if isinstance(cause, InfrastructureError | OSError):
                raise InfrastructureError(str(cause)) from None
            raise
        busy.pool.give_back(busy.worker)
        if isinstance(result, UnitReport):
            return result
        unit.screened = result
        self._screened.append(unit)
        return None

    @property
    def _last_queue(self) -> deque[_Unit]:
        """Where units wait that run alone: with the pool that has all devices."""
        return self._waiting if self._first is self._last else self._screened

    def _died(self, busy: _Busy) -> None:
        """A worker died with a unit: its own death, or its node's?"""
        unit, number = busy.unit, busy.unit.job.unit
        node = busy.worker.node
        if node in self._gone or not _node_lives(node):
            self._gone.add(node)
            self._tell(Event(name="node_lost", unit=number, pool=busy.pool.config.kind, node=busy.worker.node))
            return
        unit.deaths += 1
        self._tell(Event(name="worker_died", unit=number, pool=busy.pool.config.kind, deaths=unit.deaths))
        if unit.deaths >= self._setup.recipe.run.kills and not unit.alone:
            unit.alone, unit.screened = True, None
            self._tell(Event(name="unit_alone", unit=number, message="each of its videos runs in a child of its own"))
        if unit.deaths > self._setup.recipe.run.kills + 3:
            raise InfrastructureError(f"unit {number} kills its worker even with each video alone") from None

    def _grow_with_cluster(self) -> None:
        """Nodes came: there may be as many workers as there are CPUs now, less those of the refiners."""
        first, others = self._first.config, self._last.config.size * (len(self._pools) - 1)
        self._first.config = PoolConfig(kind=first.kind, size=max(first.size, _cpus() - others), gpus=first.gpus)

    def _check_start(self) -> None:
        """Raise InfrastructureError for a pool that has had no worker for longer than the limit."""
        for pool in self._pools:
            if not (pool.starting and pool.empty):
                self._empty_since.pop(pool.config.kind, None)
                continue
            since = self._empty_since.setdefault(pool.config.kind, time.monotonic())
            if time.monotonic() - since > self._start_timeout_s:
                raise InfrastructureError(
                    f"no worker of the pool `{pool.config.kind}` started within {self._start_timeout_s:g} s: "
                    f"{pool.start_obstacle()}; --start-timeout-s sets this limit, and the same command goes on"
                )

    def _stop_overdue(self) -> None:
        for busy in self._busy.values():
            limit = self._setup.recipe.run.unit_timeout_s
            if busy.unit.alone:  # each video has limits of its own
                limit += len(busy.unit.job.videos) * isolated_timeout_s(self._setup.recipe.run.video_cpu_s)
            if time.monotonic() - busy.since > limit:
                self._tell(
                    Event(name="unit_overdue", unit=busy.unit.job.unit, message=f"still running after {limit:g} s")
                )
                ray.kill(busy.worker.actor)
                busy.since = time.monotonic()

    def stop(self) -> None:
        """Stop all workers at once; what they had not committed is done again by the next start."""
        for busy in self._busy.values():
            try:
                ray.kill(busy.worker.actor)
            except Exception:
                _LOG.debug("a worker was gone already")
        for pool in self._pools:
            pool.stop()


def _cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _node_lives(node: str) -> bool:
    """Whether a worker died alone, or with its node. Ray takes half a minute to call a silent node dead, and its raylet
    may outlive its workers for a moment: so its port is asked, twice."""
    for pause_s in (0.5, 0.0):
        found = next((one for one in ray.nodes() if one["NodeID"] == node and one["Alive"]), None)
        if found is None:
            return False
        try:
            socket.create_connection((found["NodeManagerAddress"], found["NodeManagerPort"]), timeout=3).close()
        except OSError:
            return False
        time.sleep(pause_s)
    return True
