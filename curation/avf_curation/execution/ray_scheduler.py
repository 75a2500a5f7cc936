"""Schedule units over pools of Ray actors, and decide what a death means.

A unit whose worker has died `run.kills` times runs again with each of its videos isolated in a child process. The
death of this process never counts against a unit. A unit with which several nodes died runs alone, after all others and
isolated; if nodes die even then, the video that it is at fails. A unit whose files cannot be read waits until all
others are done; after some tries it stays undecided, and at its end the run names it. A run never hangs: a unit that
exceeds its time counts as a death, and a lost cluster ends the run with an error.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from avf_shards.system.storage_faults import is_machine_fault
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from avf_curation.execution import ray_cluster, signals
from avf_curation.execution.active_units import read_active_units
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event
from avf_curation.execution.faulty_units import FaultyUnits, put_back_report
from avf_curation.execution.isolated import isolated_timeout_s
from avf_curation.execution.ray_pool import ActorPool, PoolConfig, PooledActor
from avf_curation.execution.worker import ScreenedUnit, WorkerSetup
from avf_curation.pipeline.failures import (
    InfrastructureError,
    MemoryShortageError,
    PassingFaultError,
    machine_fault,
)
from avf_curation.pipeline.unit_job import UnitJob, UnitReport

log = logging.getLogger(__name__)
_MAX_COMMIT_RETRIES = 3
_MAX_NODE_LOSSES = 3  # nodes that may die with a unit, among others, before it runs alone
_MAX_LOST_ALONE = 2  # nodes that may die with a unit that runs alone before its video fails
_MAX_ISOLATED_DEATHS = 3  # worker deaths while the videos of a unit are isolated; then something else is wrong
_SILENCE_S = 15.0  # without any result for this long, ask whether the cluster is alive
_CHECK_INTERVAL_S = 1.0  # between two checks of overdue units, of pools that do not start, of the cluster's size
_WAIT_S = 1.0  # for a result; short, so that Ctrl-C and the checks get their turn
_SCREENED_PER_REFINER = 2  # screened units that wait for each refiner before screening pauses


@dataclass(kw_only=True)
class _QueuedUnit:
    """A unit that is not yet committed, and its history."""

    job: UnitJob  # the work, as planned
    screened: ScreenedUnit | None = None  # None: not yet screened, or to be curated in one step
    isolated: bool = False  # each of its videos runs in a child process
    deaths: int = 0  # workers that died with the unit
    node_losses: int = 0  # nodes that died with the unit, and perhaps because of another one
    lost_alone: int = 0  # nodes that died while nothing else ran, since the last of its videos failed for that
    commit_retries: int = 0  # times that it was queued again because a file was missing at the commit


@dataclass(kw_only=True)
class _RunningUnit:
    """A unit that a worker has in flight."""

    pool: ActorPool  # the pool that the worker returns to
    worker: PooledActor  # the actor that is busy with the unit
    unit: _QueuedUnit  # the entry to queue again if the worker dies
    started_s: float = field(default_factory=lambda: time.monotonic())  # monotonic clock, for the time limit


class UnitScheduler:
    """Takes units from the queue to a worker, with two pools on to a refining worker, and yields their reports."""

    def __init__(
        self, setup: WorkerSetup, cluster: ClusterConfig, breaker: CircuitBreaker, emit: Callable[[Event], None]
    ) -> None:
        self._limits, self._breaker, self._emit = setup.recipe.run, breaker, emit
        self._run = setup.run
        self._faulty = FaultyUnits(fail_unreadable=setup.fail_unreadable)
        self._grows_with_cluster = cluster.workers is None
        size = cluster.workers or ray_cluster.count_cpus() or 1
        gpus = 0.0 if setup.device == "cpu" else cluster.gpus_per_worker
        # With one pool both names mean the same pool, and no unit ever waits between screening and refining.
        if cluster.refiners:
            self._first_pool = ActorPool(PoolConfig(kind="screening", size=size), setup)
            self._last_pool = ActorPool(PoolConfig(kind="refining", size=cluster.refiners, gpus=gpus), setup)
            self._pools = [self._first_pool, self._last_pool]
        else:
            self._first_pool = self._last_pool = ActorPool(PoolConfig(kind="curation", size=size, gpus=gpus), setup)
            self._pools = [self._first_pool]
        self._waiting: deque[_QueuedUnit] = deque()
        self._screened: deque[_QueuedUnit] = deque()
        self._suspects: deque[_QueuedUnit] = deque()  # nodes died with them; each runs alone, after all others
        #: With failures that are not the files', or whose files could not be read; they run again after all others.
        self._doubtful: list[_QueuedUnit] = []
        # Isolated units wait for the pool whose workers have all devices.
        self._waiting_isolated = self._screened if cluster.refiners else self._waiting
        self._running: dict[Any, _RunningUnit] = {}  # by the reference to the result
        self._dead_nodes: set[str] = set()
        self._start_timeout_s = cluster.start_timeout_s
        self._empty_since_s: dict[str, float] = {}  # pool kind -> since when the pool waits for its first worker
        self._last_result_s = self._last_check_s = time.monotonic()

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        """Run `jobs` and yield a report whenever a unit is committed.

        Raises InfrastructureError, and Ray's errors when the cluster is lost.
        """
        more_jobs = True
        while True:
            signals.check_interrupt()
            more_jobs = more_jobs and self._fill_queue(jobs)
            if not (self._waiting or self._screened or self._running) and not self._queue_late_units():
                self._faulty.check()
                return
            self._assign_units(more_jobs)
            for reference in self._wait_for_results():
                if any(pool.register_started(reference) for pool in self._pools):
                    continue
                running = self._running.pop(reference)
                report = self._collect_result(reference, running)
                if report is not None:
                    if report.is_committed:
                        yield report
                    self._breaker.record(report, running.worker.node)
            if time.monotonic() - self._last_check_s > _CHECK_INTERVAL_S:
                self._last_check_s = time.monotonic()
                self._kill_overdue()
                self._check_pools_start()
                if self._grows_with_cluster and self._waiting:
                    self._grow_with_cluster()

    def _queue_late_units(self) -> bool:
        """Queue what waited until nothing else runs: doubtful units, else one suspect. Return whether there is any.

        Raises InfrastructureError where most of a small corpus is doubtful.
        """
        self._breaker.check_small_groups()
        if not self._doubtful and not self._suspects:
            return False
        late = self._doubtful or [self._suspects.popleft()]
        for unit in late:
            self._requeue(unit)
        self._doubtful = []
        return True

    def stop(self) -> None:
        """Stop all workers at once. The next start does again what they had not committed."""
        for running in self._running.values():
            try:
                ray.kill(running.worker.actor)
            except Exception:  # Ray raises several kinds of errors for an actor that is dead already
                log.debug("a busy worker was dead already")
        for pool in self._pools:
            pool.stop()

    # -- units to workers ----------------------------------------------------------------------------------------

    def _fill_queue(self, jobs: Iterator[UnitJob]) -> bool:
        """Queue as many jobs as the first pool has workers. Return whether there are more."""
        while len(self._waiting) < self._first_pool.config.size:
            job = next(jobs, None)
            if job is None:
                return False
            self._waiting.append(_QueuedUnit(job=job))
        return True

    def _assign_units(self, more_jobs: bool) -> None:
        """Assign queued units to idle workers. Screened units come first, so that what is begun gets finished."""
        two_pools = len(self._pools) == 2
        capacity = len(self._waiting)
        if two_pools:
            self._last_pool.grow(len(self._screened) + self._last_pool.busy)
            self._assign(self._screened, self._last_pool, self._last_pool.config.size)
            # Screened units are held in this process's memory: screen no more of them until the refiners catch up.
            if len(self._screened) >= _SCREENED_PER_REFINER * self._last_pool.config.size:
                capacity = 0
        if capacity:
            self._first_pool.grow(capacity + self._first_pool.busy)
            self._assign(self._waiting, self._first_pool, capacity)
        if more_jobs or self._waiting or self._doubtful or self._suspects:
            return
        self._first_pool.shrink()
        if two_pools and not self._screened and not self._first_pool.busy:
            self._last_pool.shrink()

    def _assign(self, queue: deque[_QueuedUnit], pool: ActorPool, capacity: int) -> None:
        """Assign at most `capacity` units of `queue` to idle workers of `pool`."""
        while queue and capacity > 0:
            worker = pool.acquire()
            if worker is None:
                return
            unit = queue.popleft()
            if unit.screened is not None:
                reference = worker.actor.refine.remote(unit.job, unit.screened)
            elif pool.config.kind == "screening" and not unit.isolated:
                reference = worker.actor.screen.remote(unit.job)
            else:
                reference = worker.actor.curate.remote(unit.job, unit.isolated)
            self._running[reference] = _RunningUnit(pool=pool, worker=worker, unit=unit)
            self._emit(Event(name="unit_started", unit=unit.job.unit, pool=pool.config.kind, node=worker.node))
            capacity -= 1

    # -- results from workers ------------------------------------------------------------------------------------

    def _wait_for_results(self) -> list[Any]:
        """Return the references that are ready: results of units, and actors that have started."""
        references = [reference for pool in self._pools for reference in pool.starting] + list(self._running)
        if not references:
            return []
        ready, _ = ray.wait(references, num_returns=1, timeout=_WAIT_S, fetch_local=True)
        if ready:
            self._last_result_s = time.monotonic()
            # A second call without waiting returns all that are ready, so many results cost two calls.
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        elif time.monotonic() - self._last_result_s > _SILENCE_S:
            self._last_result_s = time.monotonic()
            self._check_silence()
        return list(ready)

    def _check_silence(self) -> None:
        """Raise InfrastructureError when the cluster is dead; report pools that wait for room in the cluster."""
        if not ray_cluster.any_node_alive():  # Ray itself would wait for ever
            raise InfrastructureError("no node of the Ray cluster is alive; the same command continues")
        for pool in self._pools:
            if pool.starting and pool.empty:
                self._emit(Event(name="waiting_for_cluster", pool=pool.config.kind, message=pool.requirements()))

    def _collect_result(self, reference: Any, running: _RunningUnit) -> UnitReport | None:
        """Return the report of a unit that was committed or is doubtful, or None where it runs again or is refined.

        Raises InfrastructureError.
        """
        unit = running.unit
        try:
            result = ray.get(reference)
        except (RayActorError, WorkerCrashedError, OutOfMemoryError):
            running.pool.discard_dead()
            self._record_death(running)
            return None
        except RayTaskError as error:
            running.pool.release(running.worker)
            cause = error.cause if isinstance(error.cause, BaseException) else error
            # Another process that started on this run in the meantime has removed RUN/tmp, and the unit in it.
            if isinstance(cause, FileNotFoundError) and unit.commit_retries < _MAX_COMMIT_RETRIES:
                unit.commit_retries += 1
                log.warning("unit %d is curated again: %s disappeared", unit.job.unit, cause.filename)
                self._requeue(unit)
                return None
            self._put_back(unit, cause, running.worker.node)
            return None
        running.pool.release(running.worker)
        if isinstance(result, UnitReport):
            if not result.is_committed:
                self._emit(Event(name="unit_put_back", unit=unit.job.unit, message=result.fault_example))
                unit.job, unit.screened = replace(unit.job, known_faults=result.faults), None
                self._doubtful.append(unit)
            return result
        unit.screened = result
        self._screened.append(unit)
        return None

    def _put_back(self, unit: _QueuedUnit, cause: BaseException, node: str) -> None:
        """Put a unit back behind all others after a fault of its machine that may pass.

        Raises InfrastructureError for any other fault, and where too many units have one.
        """
        number = unit.job.unit
        if isinstance(cause, MemoryShortageError) and not unit.isolated:
            unit.isolated, unit.screened = True, None
            self._emit(Event(name="unit_isolated", unit=number, message=f"{cause}: each video gets its own process"))
            self._requeue(unit)
            return
        if isinstance(cause, OSError) and is_machine_fault(cause):
            cause = machine_fault(cause)
        if isinstance(cause, PassingFaultError):
            self._emit(Event(name="unit_put_back", unit=number, message=str(cause)))
            report, job = put_back_report(unit.job, cause), self._faulty.next_try(unit.job, cause)
            if job is not None:
                unit.job, unit.screened = job, None
                self._doubtful.append(unit)
            self._breaker.record(report, node)
            return
        if isinstance(cause, InfrastructureError | OSError):
            raise InfrastructureError(str(cause)) from None
        raise cause

    def _requeue(self, unit: _QueuedUnit) -> None:
        """Put a unit back at the front of the queue that it came from."""
        queue = self._waiting if unit.screened is None else self._screened
        if unit.isolated:
            queue = self._waiting_isolated
        queue.appendleft(unit)

    def _record_death(self, running: _RunningUnit) -> None:
        """Count a worker's death, or that of its node, and queue its unit again.

        Raises InfrastructureError when the unit has had too many deaths.
        """
        unit, number, pool = running.unit, running.unit.job.unit, running.pool.config.kind
        node = running.worker.node
        if node in self._dead_nodes or not ray_cluster.node_is_alive(node):
            self._dead_nodes.add(node)
            self._emit(Event(name="node_lost", unit=number, pool=pool, node=node))
            self._record_node_loss(unit)
            return
        unit.deaths += 1
        self._emit(Event(name="worker_died", unit=number, pool=pool, deaths=unit.deaths))
        if unit.deaths >= self._limits.kills and not unit.isolated:
            unit.isolated, unit.screened = True, None
            message = "each of its videos runs in its own child process"
            self._emit(Event(name="unit_isolated", unit=number, message=message))
        if unit.deaths > self._limits.kills + _MAX_ISOLATED_DEATHS:
            raise InfrastructureError(
                f"unit {number}: its worker has died {unit.deaths} times, even with each video in its own process; "
                "look for a lack of memory on the node, then the same command continues"
            ) from None
        self._requeue(unit)

    def _record_node_loss(self, unit: _QueuedUnit) -> None:
        """Count a node that died with a unit, and queue the unit again: among others, alone, or without a video."""
        unit.node_losses += 1
        if unit.job.runs_alone:
            unit.lost_alone += 1
            if unit.lost_alone >= _MAX_LOST_ALONE:
                self._give_up_video(unit)
            self._suspects.appendleft(unit)
        elif unit.node_losses >= _MAX_NODE_LOSSES:
            unit.isolated, unit.screened = True, None
            unit.job = replace(unit.job, runs_alone=True)
            message = f"{unit.node_losses} machines were lost while it ran: it runs alone, after all others"
            self._emit(Event(name="unit_isolated", unit=unit.job.unit, message=message))
            self._suspects.append(unit)
        else:
            self._requeue(unit)

    def _give_up_video(self, unit: _QueuedUnit) -> None:
        """Let the video fail that a unit was at when its nodes died; all of its videos where nobody noted which."""
        job = unit.job
        active = next((each for each in read_active_units(self._run, job.attempt) if each.unit == job.unit), None)
        at_work = None if active is None else active.video
        fatal = [at_work] if at_work else [video.video_id for video in job.videos]
        unit.job = replace(job, fatal_videos=(*job.fatal_videos, *fatal))
        unit.lost_alone = 0
        message = f"machines were lost with it, even alone: {', '.join(fatal[:3])} fails"
        self._emit(Event(name="unit_isolated", unit=job.unit, message=message))

    # -- checks --------------------------------------------------------------------------------------------------

    def _grow_with_cluster(self) -> None:
        """Let the first pool grow to the CPUs that the cluster has now, less those of the refining pool."""
        config = self._first_pool.config
        refiners = self._last_pool.config.size if len(self._pools) == 2 else 0
        size = max(config.size, ray_cluster.count_cpus() - refiners)
        if size > config.size:
            log.info("the cluster grew: the %s pool may have %d workers, not %d", config.kind, size, config.size)
            self._first_pool.config = replace(config, size=size)

    def _check_pools_start(self) -> None:
        """Raise InfrastructureError for a pool that has had no worker for longer than the limit."""
        for pool in self._pools:
            kind = pool.config.kind
            if not (pool.starting and pool.empty):
                self._empty_since_s.pop(kind, None)
                continue
            since_s = self._empty_since_s.setdefault(kind, time.monotonic())
            if time.monotonic() - since_s > self._start_timeout_s:
                raise InfrastructureError(
                    f"no worker of the {kind} pool started within {self._start_timeout_s:g} s: "
                    f"{pool.start_obstacle()}; --start-timeout-s sets this limit, and the same command continues"
                )

    def _kill_overdue(self) -> None:
        """Kill the workers whose unit exceeds its time; the death is then collected as any other."""
        for running in self._running.values():
            unit = running.unit
            limit_s = self._limits.unit_timeout_s
            if unit.isolated:  # its videos have their own limits
                limit_s += len(unit.job.videos) * isolated_timeout_s(self._limits.video_cpu_s)
            if time.monotonic() - running.started_s > limit_s:
                self._emit(Event(name="unit_overdue", unit=unit.job.unit, message=f"still running after {limit_s:g} s"))
                ray.kill(running.worker.actor)
                running.started_s = time.monotonic()  # so that the kill is not repeated while its news is on the way
