"""Measure the coordinator's cost: a unit through Ray and in a loop, ray.wait over many units, and the scheduler with 10,000 simulated workers."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event, EventLog
from avf_curation.execution.ray_scheduler import UnitScheduler
from avf_curation.execution.worker import WorkerSetup
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.runs.coordinator import Coordinator
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.progress import Progress
from avf_curation.runs.unit_log import append_unit
from avf_shards.format.run_folder import RunFolder

from benchmarks.table import Section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.curation_runs import EMBEDDED, IDENTITY, make_recipe, stub_curate
from support.runs import make_inputs
from support.simulated_ray import SimulatedRay, replace_ray
from support.stages import single_step

UNITS = 300
WORKERS = 10_000
CLIPS = 1_359_000
CORE_S_A_CLIP = (
    8.2  # docs/benchmarks.md: "Stages" with RetinaFace MobileNet (0.83), and SyncNet on every window of a CPU (7.4)
)
WIDTHS = (10, 100, 1_000, 10_000)


def run() -> list[Section]:
    cost = _cost_of_a_unit()
    waits = _waits()
    return [_measured(cost, waits), _simulated(waits)]


# -- measured -----------------------------------------------------------------------------------------------------------


def _cost_of_a_unit() -> dict[str, float]:
    """Return by engine the wall milliseconds of a unit that does almost nothing, warm."""
    unit_ms = {}
    with tempfile.TemporaryDirectory() as name:
        inputs = make_inputs(Path(name) / "in", UNITS)
        for engine in ("inline", "ray"):
            marks: list[float] = []

            def mark(progress: Progress, marks: list[float] = marks) -> None:
                if progress.units_done == len(marks):  # a unit, not a video of a unit in progress
                    marks.append(time.perf_counter())

            curate(
                make_recipe("plan.unit_videos=1"),
                EMBEDDED,
                {"s": inputs},
                Path(name) / engine,
                RunOptions(engine=engine, cluster=ClusterConfig(workers=1), stages=single_step(stub_curate)),
                on_progress=mark,
            )
            unit_ms[engine] = (marks[-1] - marks[20]) / (len(marks) - 21) * 1000
    return unit_ms


def _waits() -> dict[int, float]:
    """Return by number of references the milliseconds of a ray.wait call when none of them is ready."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        sleep = ray.remote(num_cpus=1)(_sleep)
        task = sleep.remote(3600)
        queue = ray.remote(num_cpus=0)(_NeverReady).remote()
        references = [queue.wait.remote() for _ in range(max(WIDTHS))]
        wait_ms = {}
        for width in WIDTHS:
            unfinished = references[:width]
            ray.wait(unfinished, num_returns=width, timeout=0)
            start = time.perf_counter()
            for _ in range(5):
                ray.wait(unfinished, num_returns=width, timeout=0)
            wait_ms[width] = (time.perf_counter() - start) / 5 * 1000
        ray.kill(queue)
        ray.cancel(task, force=True)
        return wait_ms
    finally:
        ray.shutdown()


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class _NeverReady:
    def wait(self) -> None:
        time.sleep(3600)


def _measured(cost: dict[str, float], waits: dict[int, float]) -> Section:
    rows = [["", "ms", "target"]]
    rows.append(["a unit that does nothing, in a loop (commit and log)", f"{cost['inline']:.1f}", ""])
    rows.append(["the same through Ray, one worker", f"{cost['ray']:.1f}", ""])
    rows.append(["scheduling a unit", f"{cost['ray'] - cost['inline']:.1f}", "20"])
    rows += [[f"ray.wait over {width:,} units in flight", f"{ms:.2f}", ""] for width, ms in waits.items()]
    return Section("Scheduling", f"{UNITS} units, warm, this machine's Ray.", rows)


# -- simulated ----------------------------------------------------------------------------------------------------------


def _simulated(waits: dict[int, float]) -> Section:
    rows = [["videos a unit", "units", "nodes lost", "hours", "ideal hours", "workers busy", "coordinator busy"]]
    for videos in (4, 16, 64):
        ideal_s = CLIPS * CORE_S_A_CLIP / WORKERS
        units = CLIPS // videos
        sim, wall_s = _simulate(units, videos, waits)
        busy = f"{min(1.0, ideal_s / wall_s):.0%}"
        hours = f"{wall_s / 3600:.2f}", f"{ideal_s / 3600:.2f}"
        rows.append([str(videos), f"{units:,}", str(sim.losses), *hours, busy, f"{sim.busy_s / wall_s:.0%}"])
    note = (
        f"The real scheduler (ray_scheduler.py) on a simulated Ray: {WORKERS:,} workers on 625 nodes, {CLIPS:,} clips of {CORE_S_A_CLIP} core-seconds, "
        "unit times log-normal (0.4), a worker starts in 20 to 40 s, a node is lost every minute. The clock runs while the scheduler computes, and each "
        "ray.wait costs what it was measured to cost above."
    )
    return Section("Ten thousand workers, simulated", note, rows)


def _simulate(units: int, videos: int, waits: dict[int, float]) -> tuple[SimulatedRay, float]:
    sim = SimulatedRay(625, 16, CORE_S_A_CLIP, waits, 60.0)
    # The coordinator also writes two log lines and checks the free disk space for each unit.
    with replace_ray(sim), tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        events = EventLog(folder.log_folder)
        setup = WorkerSetup(run=folder, recipe=make_recipe(), backends=EMBEDDED, roots={}, identity=IDENTITY)
        scheduler = UnitScheduler(setup, ClusterConfig(workers=WORKERS), CircuitBreaker(1.0), events)
        with Coordinator(folder, events, 0.0) as coordinator:
            for report in scheduler.run(_jobs(units, videos)):
                append_unit(folder, report, 0)
                events(Event(name="unit_done", unit=report.unit))
                coordinator.check()
        return sim, sim.tick()


def _jobs(units: int, videos: int) -> Iterator[UnitJob]:
    placeholders: tuple[Any, ...] = (None,) * videos
    for unit in range(units):
        yield UnitJob(unit=unit, attempt=0, videos=placeholders)
