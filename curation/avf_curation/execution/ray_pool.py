"""A pool of Ray actors of one kind, which grows to what is needed, hands out idle actors, and shrinks again.

The pool declares to Ray what an actor needs, so that an autoscaler sees what is missing. It stops idle actors when no
unit waits, so that an autoscaler sees which machines it may remove.
"""

import logging
import os
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from avf_shards.cli.logging_setup import LEVEL_VARIABLE, worker_level
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from avf_curation.detectors.terminal import stopped_processes
from avf_curation.detectors.threads import VARIABLES
from avf_curation.execution.ray_actor import UnitActor
from avf_curation.execution.worker import WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError, OtherWeightsError

log = logging.getLogger(__name__)
PoolKind = Literal["curation", "screening", "refining"]
_MAX_FAILED_STARTS = 5  # actors in a row that die while they load their detectors


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """The kind, number and GPU share of the actors of a pool."""

    kind: PoolKind  # the steps that its actors run; curation: all of them
    size: int  # actors at most
    gpus: float = 0.0  # of each actor; a fraction where several share one GPU


@dataclass(frozen=True, kw_only=True)
class PooledActor:
    """An actor that has started, and the node it runs on."""

    actor: Any  # a handle of a remote UnitActor
    node: str  # Ray's id of the machine


class ActorPool:
    """Actors of one kind: starting, idle or busy."""

    def __init__(self, config: PoolConfig, setup: WorkerSetup) -> None:
        self.config = config
        self._setup = setup
        self._idle: list[PooledActor] = []
        self._starting: dict[Any, Any] = {}  # reference to the start's result -> actor handle
        self.busy = 0
        self._failed_starts = 0

    @property
    def starting(self) -> list[Any]:
        """Return the references that become ready when an actor has started."""
        return list(self._starting)

    @property
    def empty(self) -> bool:
        """Return whether no actor has started yet or is left."""
        return not self._idle and not self.busy

    def grow(self, needed: int) -> None:
        """Start actors until `needed` of them run or are starting, at most the pool's size."""
        remote = ray.remote(num_cpus=1, num_gpus=self.config.gpus, max_restarts=0)(UnitActor)
        # One thread per library, set before the libraries are imported; this process's import path, so that a worker
        # can import whatever was importable here; and the level to log at.
        variables = dict.fromkeys(VARIABLES, "1") | {"PYTHONPATH": _python_path(), LEVEL_VARIABLE: worker_level()}
        while len(self._idle) + len(self._starting) + self.busy < min(needed, self.config.size):
            actor = remote.options(runtime_env={"env_vars": variables}).remote(pickle.dumps(self._setup))
            self._starting[actor.node.remote()] = actor
            log.debug("starting a worker of the %s pool", self.config.kind)

    def shrink(self) -> None:
        """Stop the idle actors."""
        for worker in self._idle:
            _kill(worker.actor)
        self._idle.clear()

    def acquire(self) -> PooledActor | None:
        """Return an idle actor, which counts as busy from now on, or None."""
        if not self._idle:
            return None
        self.busy += 1
        return self._idle.pop()

    def release(self, worker: PooledActor) -> None:
        """Take back a busy actor that has finished its work and is alive."""
        self.busy -= 1
        self._idle.append(worker)

    def discard_dead(self) -> None:
        """Forget a busy actor that died."""
        self.busy -= 1

    def register_started(self, reference: Any) -> bool:
        """Record the start behind a ready reference. Return False if the reference is not one of this pool's starts.

        Raises InfrastructureError when too many actors in a row died while they started, and OtherWeightsError at once.
        """
        actor = self._starting.pop(reference, None)
        if actor is None:
            return False
        try:
            node = ray.get(reference, timeout=10)
        except (RayActorError, GetTimeoutError, RayTaskError) as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, OtherWeightsError):
                _kill(actor)
                raise error.cause from None
            self._failed_starts += 1
            reason = " ".join(str(error).split())[-300:]
            log.warning("a worker of the %s pool did not start: %s", self.config.kind, reason)
            if self._failed_starts > _MAX_FAILED_STARTS:
                raise InfrastructureError(f"workers do not start: {reason}") from None
        else:
            self._idle.append(PooledActor(actor=actor, node=node))
            self._failed_starts = 0
            log.debug("a worker of the %s pool started on node %s", self.config.kind, node)
        return True

    def stop(self) -> None:
        """Stop all actors except busy ones; the scheduler, which knows their units, stops those."""
        self.shrink()
        for actor in self._starting.values():
            _kill(actor)
        self._starting.clear()

    def start_obstacle(self) -> str:
        """Return what is known about why no worker starts: a stopped program, or what the cluster has free."""
        stopped = stopped_processes()
        if stopped:
            return f"a signal stopped {', '.join(stopped)}, and its worker waits for it"
        free, total = ray.available_resources(), ray.cluster_resources()
        needs = {"CPU": 1.0, "GPU": self.config.gpus}
        counts = [f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s" for name, each in needs.items() if each]
        return (
            f"{len(self._starting)} workers wait for a node with room or still load their libraries; "
            f"each needs {self.requirements()}, the cluster has {' and '.join(counts)} free"
        )

    def requirements(self) -> str:
        """Return what one actor of this pool needs, as in "1 CPU, 0.5 GPU"."""
        return "1 CPU" + (f", {self.config.gpus:g} GPU" if self.config.gpus else "")


def _kill(actor: Any) -> None:
    try:
        ray.kill(actor)
    except Exception:  # Ray raises several kinds of errors for an actor that is dead already
        log.debug("an idle worker was dead already")


def _python_path() -> str:
    return os.pathsep.join(path for path in sys.path if path and Path(path).is_dir())
