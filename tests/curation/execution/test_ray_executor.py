"""The scheduler on a simulated Ray keeps workers busy, bounds its queues, and repeats units of lost nodes."""

import errno
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from avf_curation.execution.active_units import ActiveUnitFile
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event
from avf_curation.execution.ray_cluster import connect_cluster
from avf_curation.execution.ray_scheduler import UnitScheduler
from avf_curation.pipeline.failures import InfrastructureError, MemoryShortageError, StorageError
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import make_recipe, make_source_video
from support.simulated_ray import SimulatedRay, replace_ray

NO_RUN = RunFolder(Path("/nowhere"))


def run_simulated(
    sim: SimulatedRay,
    cluster: ClusterConfig,
    units: int,
    run: RunFolder = NO_RUN,
    names: str = "a",
    *,
    fail_unreadable: bool = False,
) -> tuple[list[int], list[Event]]:
    """Unit numbers in the order they were done, and what was told."""
    videos: tuple[Any, ...] = tuple(make_source_video(name) for name in names)

    def jobs() -> Iterator[UnitJob]:
        for unit in range(units):
            yield UnitJob(unit=unit, attempt=0, videos=videos)

    events: list[Event] = []
    setup = SimpleNamespace(device="cpu", recipe=make_recipe(), run=run, fail_unreadable=fail_unreadable)
    with replace_ray(sim):
        flow = UnitScheduler(setup, cluster, CircuitBreaker(0.05), events.append)
        return [report.unit for report in flow.run(jobs())], events


def simulated_cluster(nodes: int, each: int, lost_every_s: float = 1e9) -> SimulatedRay:
    return SimulatedRay(nodes, each, 1.0, {1: 0.1, 1000: 1.0}, lost_every_s)


def test_a_hundred_workers_finish_every_unit_once() -> None:
    sim = simulated_cluster(10, 10)
    done, events = run_simulated(sim, ClusterConfig(workers=100), 2000)
    assert sorted(done) == list(range(2000))
    assert sum(event.name == "unit_started" for event in events) == 2000
    assert sim.tick() < 40 + 2000 / 100 * 1.6, "the start, and little more than the work"


def test_units_of_lost_nodes_are_repeated_without_counting_as_failures() -> None:
    sim = simulated_cluster(10, 10, lost_every_s=60)
    done, events = run_simulated(sim, ClusterConfig(workers=100), 6000)
    assert sorted(done) == list(range(6000))
    assert sim.losses
    started = sum(event.name == "unit_started" for event in events)
    assert started - 6000 <= 10 * sim.losses
    assert {event.name for event in events} - {"waiting_for_cluster"} == {"unit_started", "node_lost"}


@pytest.mark.parametrize("refine_s", [0.01, 20.0])
def test_screeners_are_busy_until_the_refiners_fall_behind(refine_s: float) -> None:
    sim = simulated_cluster(6, 10)
    sim.refine_s = refine_s
    most = 0
    tick = sim.tick

    def watched() -> float:
        nonlocal most
        most = max(most, sim.screening)
        return tick()

    sim.tick = watched
    done, _ = run_simulated(sim, ClusterConfig(workers=40, refiners=2), 300)
    assert sorted(done) == list(range(300))
    assert most >= 40, "one refiner more or less does not idle forty screeners"
    assert most <= 40 + 2 * 2 + 2, "what waits is bounded"


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nothing_listens_is_named_at_once(prefix: str) -> None:
    with socket.socket() as unused:
        unused.bind(
            ("127.0.0.1", 0)
        )  # bound and not listening: a connection is refused, and nobody else takes the port
        address = f"{prefix}127.0.0.1:{unused.getsockname()[1]}"
        ray.shutdown()  # another test of this process may have left it running
        with pytest.raises(InfrastructureError, match=f"no Ray cluster on {address}"):
            connect_cluster(ClusterConfig(address=address), "cpu")


@pytest.mark.parametrize(("failures", "joins"), [(1, 2), (2, 3)])
def test_a_head_that_starts_no_process_for_a_driver_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, failures: int, joins: int
) -> None:
    answers = iter([ConnectionError("Initialization failure: Starting Ray client server failed.")] * failures)
    calls: list[str] = []

    def init(address: str, **_: object) -> None:
        calls.append(address)
        for error in answers:
            raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
    assert connect_cluster(ClusterConfig(address="local-name"), "cpu")
    assert calls == ["local-name"] * joins


@pytest.mark.parametrize("kind", [Exception, RuntimeError])
def test_ray_that_does_not_start_in_time_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def init(**_: object) -> None:
        raise kind("The current node timed out during startup.\nThe GCS may be overloaded.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InfrastructureError, match=r"timed out during startup. The GCS .*; --engine inline works"):
        connect_cluster(ClusterConfig(), "cpu")


def test_a_sigterm_while_ray_starts_stops_the_command_as_later_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        sys.exit(status)  # as Ray's handler of SIGTERM does

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    status = int(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        connect_cluster(ClusterConfig(), "cpu")
    status = 1
    with pytest.raises(SystemExit):
        connect_cluster(ClusterConfig(), "cpu")


def test_a_unit_whose_file_cannot_be_read_waits_until_all_others_are_done() -> None:
    sim = simulated_cluster(1, 2)
    faults = iter([StorageError("/data/a.mp4: ESTALE, Stale file handle"), OSError(errno.EIO, "gone", "/data/b.mp4")])
    sim.answer = lambda job, isolated: next(faults, None) if job.unit == 0 else None
    done, events = run_simulated(sim, ClusterConfig(workers=2), 60)
    assert sorted(done) == list(range(60))
    assert done[-1] == 0
    messages = [event.message for event in events if event.name == "unit_put_back"]
    assert messages == ["/data/a.mp4: ESTALE, Stale file handle", "/data/b.mp4: EIO, gone"]


def test_files_that_stay_unreadable_stop_the_run_at_its_end_with_their_paths_and_errors() -> None:
    sim = simulated_cluster(1, 2)
    tried: list[int] = []

    def answer(job: UnitJob, isolated: bool) -> StorageError | None:
        tried.append(job.unit)
        return StorageError(f"/data/{job.unit}.mp4: EIO, gone") if job.unit in (3, 20) else None

    sim.answer = answer
    message = r"^/data/3\.mp4: EIO, gone; /data/20\.mp4: EIO, gone; nothing is decided about the videos of 2 units"
    with pytest.raises(InfrastructureError, match=message):
        run_simulated(sim, ClusterConfig(workers=2), 60)
    assert set(tried) == set(range(60)), "all others were done first"
    assert tried.count(3) == tried.count(20) == 3


def test_the_last_try_of_a_unit_may_let_unreadable_files_fail() -> None:
    sim = simulated_cluster(1, 2)
    sim.answer = lambda job, isolated: (
        StorageError("/data/a.mp4: EIO, gone") if job.unit == 3 and not job.fails_unreadable else None
    )
    done, _ = run_simulated(sim, ClusterConfig(workers=2), 60, fail_unreadable=True)
    assert done[-1] == 3


def test_a_disk_that_is_lost_stops_the_run_before_every_unit_is_tried() -> None:
    sim = simulated_cluster(1, 2)
    tried: set[int] = set()

    def answer(job: UnitJob, isolated: bool) -> StorageError:
        tried.add(job.unit)
        return StorageError("/data/a.mp4: EIO, gone")

    sim.answer = answer
    with pytest.raises(InfrastructureError, match=r"videos of source made failed with storage.*mend the disk"):
        run_simulated(sim, ClusterConfig(workers=2), 1000)
    assert len(tried) <= 25


def test_a_full_disk_stops_the_run_at_once() -> None:
    sim = simulated_cluster(1, 2)
    answers: list[int] = []

    def answer(job: UnitJob, isolated: bool) -> OSError:
        answers.append(job.unit)
        return OSError(errno.ENOSPC, "No space left on device", "/run/tmp/part")

    sim.answer = answer
    with pytest.raises(InfrastructureError, match="/run/tmp/part: ENOSPC"):
        run_simulated(sim, ClusterConfig(workers=1), 3)
    assert answers == [0]


def test_a_unit_for_which_memory_runs_out_is_isolated() -> None:
    sim = simulated_cluster(1, 2)
    sim.answer = lambda job, isolated: None if isolated or job.unit != 2 else MemoryShortageError("not enough memory")
    done, events = run_simulated(sim, ClusterConfig(workers=2), 4)
    assert sorted(done) == list(range(4))
    assert [event.unit for event in events if event.name == "unit_isolated"] == [2]


def test_units_whose_failures_may_be_the_machines_run_again_after_all_others() -> None:
    sim = simulated_cluster(1, 4)

    def answer(job: UnitJob, isolated: bool) -> UnitReport | None:
        return doubtful_report(job) if job.unit == 5 and not job.known_faults else None

    sim.answer = answer
    done, events = run_simulated(sim, ClusterConfig(workers=4), 30)
    assert sorted(done) == list(range(30))
    assert done[-1] == 5
    assert [event.unit for event in events if event.name == "unit_put_back"] == [5]


def test_a_unit_that_is_put_back_twice_runs_a_third_time() -> None:
    sim = simulated_cluster(1, 4)
    known: list[dict[str, int]] = []

    def answer(job: UnitJob, isolated: bool) -> UnitReport | None:
        if job.unit != 5:
            return None
        known.append(dict(job.known_faults))
        faults = min(len(known), 2)
        return replace(doubtful_report(job), videos=16, faults={"missing": faults}, is_committed=len(known) == 3)

    sim.answer = answer
    done, events = run_simulated(sim, ClusterConfig(workers=4), 60)
    assert sorted(done) == list(range(60))
    assert known == [{}, {"missing": 1}, {"missing": 2}]
    assert [event.unit for event in events if event.name == "unit_put_back"] == [5, 5]


def test_failures_of_units_that_are_put_back_stop_the_run_when_other_units_are_committed() -> None:
    sim = simulated_cluster(1, 4)
    sim.answer = lambda job, isolated: replace(doubtful_report(job), source="made") if job.unit < 6 else None
    with pytest.raises(InfrastructureError, match="6 of 20 videos"):
        run_simulated(sim, ClusterConfig(workers=4), 100)


def test_many_failures_that_may_be_the_machines_stop_the_run() -> None:
    sim = simulated_cluster(1, 4)
    sim.answer = lambda job, isolated: doubtful_report(job)
    with pytest.raises(InfrastructureError, match="videos of source s failed with missing, more than"):
        run_simulated(sim, ClusterConfig(workers=4), 100)


def test_a_unit_that_takes_its_node_away_runs_alone_then_its_video_fails(tmp_path: Path) -> None:
    sim = simulated_cluster(4, 4)
    jobs: list[UnitJob] = []

    def takes_node(job: UnitJob, isolated: bool) -> bool:
        if job.unit == 7:
            jobs.append(job)
            write_active_unit(tmp_path, job, "b")
        return job.unit == 7 and "b" not in job.fatal_videos

    sim.takes_node = takes_node
    done, events = run_simulated(sim, ClusterConfig(workers=16), 100, RunFolder(tmp_path), "ab")
    assert sorted(done) == list(range(100))
    assert done[-1] == 7
    assert sim.losses == 5
    assert [job.runs_alone for job in jobs] == [False] * 3 + [True] * 3
    assert jobs[-1].fatal_videos == ("b",), "the other video of the unit is curated"
    isolated = {event.unit for event in events if event.name == "unit_isolated"}
    assert 7 in isolated


def test_units_beside_one_that_takes_its_node_away_never_fail() -> None:
    sim = simulated_cluster(1, 4)
    fatal: dict[int, tuple[str, ...]] = {}

    def takes_node(job: UnitJob, isolated: bool) -> bool:
        fatal[job.unit] = job.fatal_videos
        return job.unit == 2 and not job.fatal_videos

    sim.takes_node = takes_node
    done, _ = run_simulated(sim, ClusterConfig(workers=4), 12, names="ab")
    assert sorted(done) == list(range(12))
    assert {unit for unit, videos in fatal.items() if videos} == {2}
    assert fatal[2] == ("a", "b"), "nobody noted which of its videos it was at"


def test_a_unit_that_is_harmless_alone_is_curated() -> None:
    sim = simulated_cluster(2, 2)
    sim.takes_node = lambda job, isolated: job.unit == 1 and not isolated
    done, _ = run_simulated(sim, ClusterConfig(workers=4), 10)
    assert sorted(done) == list(range(10))
    assert sim.losses == 3


def write_active_unit(folder: Path, job: UnitJob, video: str) -> None:
    """Note the video that the worker of a unit is at, as the worker does, and leave the note as a lost machine does."""
    active = ActiveUnitFile(RunFolder(folder), job, 0.0)
    active.video_started(video)


def doubtful_report(job: UnitJob) -> UnitReport:
    return UnitReport(
        unit=job.unit,
        videos=1,
        kept=0,
        rejected=0,
        failed=1,
        frames=0,
        source="s",
        faults={"missing": 1},
        fault_example="s/a.mp4, open/missing: the file does not exist",
        is_committed=bool(job.known_faults),
    )
