"""A pool of warm Ray actors of one kind: it grows to what is wanted, hands out idle ones, and shrinks again.

What an actor needs is declared to Ray, so an autoscaler sees what is missing, and idle ones are stopped when nothing
waits, so it sees what it may take away.
"""

import os
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from avf_curation.detectors.terminal import stopped_processes
from avf_curation.detectors.threads import VARIABLES
from avf_curation.execution.ray_actor import UnitActor
from avf_curation.execution.worker import WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError

Kind = Literal["curate", "screen", "refine"]
_LOST_STARTS = 5  # actors that die while they load their tools, one after another


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """kind: what its actors do; size: how many at most; gpus: of each, a share of one where several fit."""

    kind: Kind
    size: int
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PooledActor:
    """An actor and the node it runs on."""

    actor: Any
    node: str


class ActorPool:
    """Actors of one kind."""

    def __init__(self, config: PoolConfig, setup: WorkerSetup) -> None:
        self.config = config
        self._setup = setup
        self._idle: list[PooledActor] = []
        self._starting: dict[Any, Any] = {}
        self.busy = 0
        self._lost_starts = 0

    @property
    def starting(self) -> list[Any]:
        """References that tell when an actor is ready."""
        return list(self._starting)

    @property
    def empty(self) -> bool:
        """Whether no actor is there yet."""
        return not self._idle and not self.busy

    def grow(self, wanted: int) -> None:
        """Start actors until so many are there or on their way, at most the pool's size."""
        gpus = self.config.gpus
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(UnitActor)
        environment = {"env_vars": dict.fromkeys(VARIABLES, "1") | {"PYTHONPATH": _python_path()}}
        while len(self._idle) + len(self._starting) + self.busy < min(wanted, self.config.size):
            actor = remote.options(runtime_env=environment).remote(pickle.dumps(self._setup))
            self._starting[actor.node.remote()] = actor

    def shrink(self) -> None:
        """Stop the idle actors: nothing waits for them."""
        for worker in self._idle:
            _kill(worker.actor)
        self._idle.clear()

    def take(self) -> PooledActor | None:
        """An idle actor, which is busy from now on."""
        if not self._idle:
            return None
        self.busy += 1
        return self._idle.pop()

    def give_back(self, worker: PooledActor) -> None:
        """An actor that is done and alive."""
        self.busy -= 1
        self._idle.append(worker)

    def lose(self) -> None:
        """A busy actor died."""
        self.busy -= 1

    def started(self, reference: Any) -> bool:
        """Take note of a reference that is ready; whether it was one of ours. Raises InfrastructureError."""
        actor = self._starting.pop(reference, None)
        if actor is None:
            return False
        try:
            self._idle.append(PooledActor(actor=actor, node=ray.get(reference, timeout=10)))
            self._lost_starts = 0
        except (RayActorError, GetTimeoutError, RayTaskError) as error:
            self._lost_starts += 1
            if self._lost_starts > _LOST_STARTS:
                raise InfrastructureError(f"workers do not start: {' '.join(str(error).split())[-300:]}") from None
        return True

    def stop(self) -> None:
        """Stop all actors but busy ones, whose holder stops them."""
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
            f"each needs {self.told().split(': ')[1]}, the cluster has {' and '.join(counts)} free"
        )

    def told(self) -> str:
        """What an actor of this pool needs."""
        return f"{self.config.kind}: 1 CPU" + (f", {self.config.gpus:g} GPU" if self.config.gpus else "")


def _kill(actor: Any) -> None:
    try:
        ray.kill(actor)
    except Exception:  # it was gone already
        return


def _python_path() -> str:
    return os.pathsep.join(path for path in sys.path if path and Path(path).is_dir())
