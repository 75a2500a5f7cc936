"""Ray as the scheduler sees it, simulated: on a clock of its own, with as many nodes as one likes."""

import heapq
import itertools
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from avf_curation.execution import ray_cluster, ray_pool, ray_scheduler
from avf_curation.execution.worker import ScreenedUnit
from avf_curation.pipeline.unit import UnitJob, UnitReport


class SimulatedRay:
    """Ray as the scheduler sees it, on a clock of its own that runs while the scheduler computes."""

    def __init__(self, nodes: int, each: int, unit_s: float, waits: dict[int, float], lost_every_s: float) -> None:
        self.draw = random.Random(0)
        self.unit_s, self.waits, self.lost_every_s = unit_s, waits, lost_every_s
        self.slots = [(f"node{n}", each) for n in range(nodes)]
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

    def tick(self) -> float:
        """The clock: what the scheduler has computed since the last look has passed."""
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

    def later(self, seconds: float, value: Any, node: str | None) -> Any:
        reference = SimulatedReference(value, node)
        heapq.heappush(self.heap, (self.tick() + seconds, next(self.count), reference))
        return reference

    def wait(self, references: list[Any], num_returns: int = 1, timeout: float | None = None, **_: Any) -> Any:
        self.tick()
        width = len(references)
        known = max((w for w in self.waits if w <= width), default=min(self.waits))
        cost = self.waits[known] * width / known / 1000
        self.now += cost
        self.busy_s += cost
        if not self.done and self.heap and timeout:
            self.now = max(self.now, min(self.heap[0][0], self.now + timeout))
        while self.heap and self.heap[0][0] <= self.now:
            reference = heapq.heappop(self.heap)[2]
            self.done[reference] = True
        if self.now > self.next_loss:
            self._lose_a_node()
        ready = list(self.done)[:num_returns]
        if timeout == 0:
            self.done.clear()
        self.real = time.perf_counter()  # the simulation's own work takes no time
        return ready, []

    def get(self, reference: Any, timeout: float | None = None) -> Any:
        if reference.node is not None and reference.node not in self.alive:
            raise ray.exceptions.RayActorError()
        return reference.value

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": name, "Alive": name in self.alive} for name, _ in self.slots]

    def kill(self, actor: Any) -> None:
        if actor.place in self.alive:
            self.free.append(actor.place)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(sum(count for _, count in self.slots))}

    def _lose_a_node(self) -> None:
        """A spot node goes, one of the same size comes."""
        name, each = self.slots[self.losses % len(self.slots)]
        self.alive.discard(name)
        fresh = f"{name}+"
        self.slots[self.losses % len(self.slots)] = (fresh, each)
        self.alive.add(fresh)
        self.free += [fresh] * each
        self.losses += 1
        self.next_loss += self.lost_every_s


class SimulatedReference:
    """Stands for an ObjectRef."""

    def __init__(self, value: Any, node: str | None) -> None:
        self.value, self.node = value, node


class SimulatedActor:
    """A worker: it starts, then takes as long for a unit as units take."""

    def __init__(self, sim: SimulatedRay) -> None:
        self.sim = sim
        self.place = sim.free.pop()
        self.node = SimpleNamespace(remote=lambda: sim.later(20 + 20 * sim.draw.random(), self.place, self.place))
        self.curate = SimpleNamespace(remote=self._curate)
        self.screen = SimpleNamespace(remote=self._screen)
        self.refine = SimpleNamespace(remote=self._refine)

    def _curate(self, job: UnitJob, alone: bool) -> Any:
        seconds = self.sim.unit_s * len(job.videos) * self.sim.draw.lognormvariate(-0.08, 0.4)
        report = UnitReport(unit=job.unit, videos=len(job.videos), kept=0, rejected=0, failed=0, frames=0)
        return self.sim.later(seconds, report, self.place)

    def _screen(self, job: UnitJob) -> Any:
        self.sim.screening += 1
        return self.sim.later(
            self.sim.unit_s * len(job.videos), ScreenedUnit(videos=(), stage_seconds={}, cpu_seconds=0.0), self.place
        )

    def _refine(self, job: UnitJob, screened: ScreenedUnit) -> Any:
        self.sim.screening -= 1
        return self.sim.later(
            self.sim.refine_s,
            UnitReport(unit=job.unit, videos=len(job.videos), kept=0, rejected=0, failed=0, frames=0),
            self.place,
        )


@contextmanager
def instead_of_ray(sim: SimulatedRay) -> Iterator[None]:
    """Inside, the scheduler talks to the simulation and reads its clock."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (ray_scheduler, ray_pool, ray_cluster):
            patch.setattr(module, "ray", sim)
        for module in (ray_scheduler, ray_cluster):
            patch.setattr(module, "time", sim)
        yield
