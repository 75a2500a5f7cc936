"""The runner in this process tries a unit again after a fault that may pass, also where its videos are isolated."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.execution import inline_runner
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.events import Event
from avf_curation.execution.inline_runner import InlineRunner
from avf_curation.execution.isolated_pictures import run_in_children
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError, MemoryShortageError, StorageError
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import EMBEDDED, IDENTITY, make_recipe, make_source_video
from support.stages import single_step

# The child of an isolated unit fails this video without looking at it, so no file is needed.
JOB = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),), fatal_videos=("a.mp4",))


def run_out_of_memory(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    raise MemoryShortageError("a worker had not enough memory for a video")


def run_with_faults(
    folder: Path, faults: Iterator[Exception], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[UnitReport], list[Event]]:
    """Run a unit whose first try lacks memory, and whose isolated tries end with these faults."""

    def fail_first(worker: UnitWorker, job: UnitJob) -> UnitReport:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return run_in_children(worker, job)

    monkeypatch.setattr(inline_runner, "run_in_children", fail_first)
    setup = WorkerSetup(
        run=RunFolder(folder / "run"),
        recipe=make_recipe(),
        backends=EMBEDDED,
        roots={"made": folder},
        identity=IDENTITY,
        stages=single_step(run_out_of_memory),
    )
    events: list[Event] = []
    runner = InlineRunner(setup, CircuitBreaker(0.05), events.append)
    return list(runner.run(iter([JOB]))), events


def test_an_isolated_unit_is_tried_again_after_a_storage_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [StorageError("/data/a.mp4: ESTALE, Stale file handle"), OSError(errno.EIO, "gone", "/run/part")]
    reports, events = run_with_faults(tmp_path, iter(faults), monkeypatch)
    assert [report.unit for report in reports] == [0]
    assert [(event.name, event.message) for event in events] == [
        ("unit_started", None),
        ("unit_isolated", "a worker had not enough memory for a video"),
        ("unit_put_back", "/data/a.mp4: ESTALE, Stale file handle"),
        ("unit_started", None),
        ("unit_put_back", "/run/part: EIO, gone"),
        ("unit_started", None),
    ]


def test_a_storage_fault_of_an_isolated_unit_that_stays_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [OSError(errno.EIO, "gone", "/run/part") for _ in range(4)]
    remaining = iter(tries)
    with pytest.raises(InfrastructureError, match=r"^/run/part: EIO, gone; nothing is decided"):
        run_with_faults(tmp_path, remaining, monkeypatch)
    assert len(list(remaining)) == 1, "the run stops after three tries"
