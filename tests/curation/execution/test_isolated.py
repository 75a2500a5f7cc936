"""Isolated videos end with the process that started them."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from avf_curation.execution import isolated
from avf_curation.execution.isolated import run_isolated
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError, MemoryShortageError, StorageError
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.recipe import Recipe
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import LEDGER, RunFolder
from avf_shards.schema.ledger import read_ledger
from support.curation_runs import EMBEDDED, IDENTITY, make_recipe, make_source_video, stub_curate
from support.stages import CurateVideo, single_step


def test_the_child_of_a_process_that_has_ended_does_not_start() -> None:
    command = [sys.executable, "-m", "avf_curation.execution.isolated", "1", "job", "result"]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL


def isolated_report(folder: Path, recipe: Recipe, curate: CurateVideo, job: UnitJob) -> UnitReport:
    """Run a unit as an isolated one; the videos are files of `folder`."""
    setup = WorkerSetup(
        run=RunFolder(folder / "run"),
        recipe=recipe,
        backends=EMBEDDED,
        roots={"made": folder},
        identity=IDENTITY,
        stages=single_step(curate),
    )
    return run_isolated(UnitWorker(setup), job)


def test_a_video_that_took_its_machines_away_fails_without_another_try(tmp_path: Path) -> None:
    job = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),), runs_alone=True, fatal_videos=("a.mp4",))
    report = isolated_report(tmp_path, make_recipe(), stub_curate, job)  # there is no file: it is not looked at
    assert (report.is_committed, report.failed) == (True, 1)
    ledger = read_ledger(RunFolder(tmp_path / "run").unit_folder(0, 0) / LEDGER)
    assert ledger["error"].to_pylist() == ["machine_lost"]


def run_out_of_memory(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    raise MemoryShortageError("a worker had not enough memory for a video")


def lose_the_disk(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    raise StorageError("/data/a.mp4: EIO, Input/output error")


def test_memory_that_runs_out_where_the_machine_has_some_is_the_videos_fault(tmp_path: Path) -> None:
    job = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),))
    report = isolated_report(tmp_path, make_recipe("run.video_memory_mb=100"), run_out_of_memory, job)
    assert report.failed == 1
    ledger = read_ledger(RunFolder(tmp_path / "run").unit_folder(0, 0) / LEDGER)
    assert ledger["error"].to_pylist() == ["memory_limit"]


def test_memory_that_a_ulimit_takes_away_is_not_the_videos_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "inherited_limit_bytes", lambda: 3e9)
    job = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),))
    with pytest.raises(InfrastructureError, match="a ulimit allows each process 3000 MB"):
        isolated_report(tmp_path, make_recipe(), run_out_of_memory, job)


def test_a_machine_without_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e6))
    job = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),))
    with pytest.raises(InfrastructureError, match="the machine has 1 MB of memory left"):
        isolated_report(tmp_path, make_recipe(), run_out_of_memory, job)


def test_a_fault_of_storage_in_a_child_is_that_of_its_parent(tmp_path: Path) -> None:
    job = UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),))
    with pytest.raises(StorageError, match=r"/data/a\.mp4: EIO"):
        isolated_report(tmp_path, make_recipe(), lose_the_disk, job)
