"""A simulation of Ray for tests of the scheduler: any number of nodes, and a simulated clock."""

import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from avf_curation.execution import ray_cluster, ray_pool, ray_scheduler
from avf_curation.execution.worker import ScreenedUnit
from avf_curation.pipeline.unit_job import UnitJob, UnitReport


class SimulatedRay:
    """The part of Ray's API that the scheduler calls; the simulated clock also runs while the scheduler computes."""

    def __init__(
        self, nodes: int, workers_per_node: int, unit_s: float, waits: dict[int, float], lost_every_s: float
    ) -> None:
        self.draw = random.Random(0)
        self.unit_s, self.waits, self.lost_every_s = unit_s, waits, lost_every_s
        self.slots = [(f"node{n}", workers_per_node) for n in range(nodes)]
        self.alive = {name for name, _ in self.slots}
        self.free = [name for name, count in self.slots for _ in range(count)]
        self.now, self.real, self.busy_s = 0.0, time.perf_counter(), 0.0
        self.heap: list[tuple[float, int, Any]] = []
        self.done: dict[Any, Any] = {}
        self.count = itertools.count()
        self.next_loss = lost_every_s
        self.losses = 0
        self.exceptions = ray.exceptions
        self.screening = 0  # units that are screened or being screened, and not yet with a refiner
        self.refine_s = unit_s
        self.takes_node: Callable[[UnitJob, bool], bool] = lambda job, isolated: False  # the unit kills its node
        #: Answers in place of a unit's report, or None: of the unit and whether its videos are isolated.
        self.answer: Callable[[UnitJob, bool], Any] = lambda job, isolated: None

    def tick(self) -> float:
        """Advance the clock by the real time since the last call, and return it in seconds."""
        real = time.perf_counter()
        self.now += real - self.real
        self.busy_s += real - self.real
        self.real = real
        return self.now

    def monotonic(self) -> float:
        return self.tick()

    def sleep(self, seconds: float) -> None:
        self.tick()
        self.now += seconds

    def remote(self, **_: Any) -> Any:
        def decorate(cls: Any) -> Any:
            return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda setup: SimulatedActor(self)))

        return decorate

    def resolve_after(self, seconds: float, value: Any, node: str | None) -> Any:
        reference = SimulatedReference(value, node)
        heapq.heappush(self.heap, (self.tick() + seconds, next(self.count), reference))
        return reference

    def wait(self, references: list[Any], num_returns: int = 1, timeout: float | None = None, **_: Any) -> Any:
        self.tick()
        width = len(references)
        closest = max((w for w in self.waits if w <= width), default=min(self.waits))
        cost = self.waits[closest] * width / closest / 1000
        self.now += cost
        self.busy_s += cost
        if not self.done and self.heap and timeout:
            self.now = max(self.now, min(self.heap[0][0], self.now + timeout))
        while self.heap and self.heap[0][0] <= self.now:
            reference = heapq.heappop(self.heap)[2]
            self.done[reference] = True
        if self.now > self.next_loss:
            self._replace_node(self.losses % len(self.slots))
            self.next_loss += self.lost_every_s
        ready = list(self.done)[:num_returns]
        if timeout == 0:
            self.done.clear()
        self.real = time.perf_counter()  # the simulation's own work takes no time
        return ready, []

    def get(self, reference: Any, timeout: float | None = None) -> Any:
        if reference.node is not None and reference.node not in self.alive:
            raise ray.exceptions.RayActorError()
        if isinstance(reference.value, Exception):
            raise ray.exceptions.RayTaskError("curate", "the traceback of the worker", reference.value)
        return reference.value

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": name, "Alive": name in self.alive} for name, _ in self.slots]

    def kill(self, actor: Any) -> None:
        if actor.node_name in self.alive:
            self.free.append(actor.node_name)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(sum(count for _, count in self.slots))}

    def lose_node(self, name: str) -> None:
        """Let a node die with all its workers; a new node of the same size takes its place."""
        self._replace_node(next(index for index, (slot, _) in enumerate(self.slots) if slot == name))

    def _replace_node(self, index: int) -> None:
        """Replace a node by a new node of the same size, as a spot instance is replaced."""
        name, workers = self.slots[index]
        self.alive.discard(name)
        new_node = f"{name}+"
        self.slots[index] = (new_node, workers)
        self.alive.add(new_node)
        self.free += [new_node] * workers
        self.losses += 1


class SimulatedReference:
    """A replacement for ray.ObjectRef."""

    def __init__(self, value: Any, node: str | None) -> None:
        self.value, self.node = value, node


class SimulatedActor:
    """A simulated worker: it takes 20 to 40 s to start, and the simulated time of a unit for each unit."""

    def __init__(self, sim: SimulatedRay) -> None:
        self.sim = sim
        self.node_name = sim.free.pop()
        self.node = SimpleNamespace(
            remote=lambda: sim.resolve_after(20 + 20 * sim.draw.random(), self.node_name, self.node_name)
        )
        self.curate = SimpleNamespace(remote=self._curate)
        self.screen = SimpleNamespace(remote=self._screen)
        self.refine = SimpleNamespace(remote=self._refine)

    def _curate(self, job: UnitJob, isolated: bool) -> Any:
        seconds = self.sim.unit_s * len(job.videos) * self.sim.draw.lognormvariate(-0.08, 0.4)
        report = UnitReport(unit=job.unit, videos=len(job.videos), kept=0, rejected=0, failed=0, frames=0)
        if self.sim.takes_node(job, isolated) and self.node_name in self.sim.alive:
            self.sim.lose_node(self.node_name)
        return self.sim.resolve_after(seconds, self.sim.answer(job, isolated) or report, self.node_name)

    def _screen(self, job: UnitJob) -> Any:
        self.sim.screening += 1
        return self.sim.resolve_after(
            self.sim.unit_s * len(job.videos),
            ScreenedUnit(videos=(), stage_seconds={}, cpu_seconds=0.0, video_seconds={}),
            self.node_name,
        )

    def _refine(self, job: UnitJob, screened: ScreenedUnit) -> Any:
        self.sim.screening -= 1
        return self.sim.resolve_after(
            self.sim.refine_s,
            UnitReport(unit=job.unit, videos=len(job.videos), kept=0, rejected=0, failed=0, frames=0),
            self.node_name,
        )


@contextmanager
def replace_ray(sim: SimulatedRay) -> Iterator[None]:
    """Make the scheduler call the simulation instead of Ray, and read the simulated clock, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (ray_scheduler, ray_pool, ray_cluster):
            patch.setattr(module, "ray", sim)
        for module in (ray_scheduler, ray_cluster):
            patch.setattr(module, "time", sim)
        yield
