"""Failures that say more about the machine than about the files stop the run, and decide nothing."""

from pathlib import Path
from typing import Any

import pytest
from avf_curation.detectors.detector_set import Detectors
from avf_curation.execution.circuit_breaker import MIN_VIDEOS, CircuitBreaker
from avf_curation.execution.events import read_events
from avf_curation.pipeline import self_test
from avf_curation.pipeline.failures import FAILURE_SENTENCES, InfrastructureError, classify_failure, is_files_own
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.stages import single_step

BROKEN: set[str] = set()  # names of the videos that fail, as if a library were missing


def curate_with_a_broken_library(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    if video.path in BROKEN:
        failure = classify_failure("track", ImportError("libGL.so.1: cannot open shared object file"))
        return VideoOutcomes(video=video, outcomes=(fail_video(failure),))
    return stub_curate(video, root, settings, tools)


def run_inline(folder: Path, videos: int, broken: set[str], **options: Any) -> RunFolder:
    source = folder / "in"
    if not source.is_dir():
        source.mkdir()
        for number in range(videos):
            (source / f"{number:03d}.mp4").write_bytes(b"film %d" % number)
    BROKEN.clear()
    BROKEN.update(broken)
    stages = single_step(curate_with_a_broken_library)
    return curate(
        make_recipe("plan.unit_videos=1"),
        EMBEDDED,
        {"s": source},
        folder / "run",
        RunOptions(engine="inline", stages=stages, **options),
    )


def count_failed(run: RunFolder) -> int:
    return sum(decision.status == "failed" for decision in table_to_decisions(run.ledger()))


def report(unit: int, *, faults: int = 0, committed: bool = True, source: str = "s", videos: int = 1) -> UnitReport:
    counts = {"ImportError": faults} if faults else {}
    return UnitReport(
        unit=unit,
        videos=videos,
        kept=0,
        rejected=0,
        failed=faults,
        frames=0,
        source=source,
        faults=counts,
        fault_example="s/a, track/ImportError: libGL" if faults else "",
        is_committed=committed,
    )


def test_a_broken_machine_decides_nothing(tmp_path: Path) -> None:
    everything = {f"{number:03d}.mp4" for number in range(30)}
    with pytest.raises(InfrastructureError, match="20 of 20 videos of source s failed with ImportError") as caught:
        run_inline(tmp_path, 30, everything)
    assert "libGL.so.1" in str(caught.value)
    run = RunFolder(tmp_path / "run")
    assert run.finished_units(0) == set()
    assert count_failed(run_inline(tmp_path, 30, set())) == 0


def test_a_few_such_failures_are_decided_after_all_others(tmp_path: Path) -> None:
    run = run_inline(tmp_path, 30, {"004.mp4"})
    assert count_failed(run) == 1
    done = [event["unit"] for event in read_events(run.log_folder) if event["name"] == "unit_done"]
    assert len(done) == 30
    assert done[-1] != sorted(done)[-1]
    assert [event["name"] for event in read_events(run.log_folder)].count("unit_put_back") == 1


def test_the_share_is_a_setting(tmp_path: Path) -> None:
    everything = {f"{number:03d}.mp4" for number in range(25)}
    assert count_failed(run_inline(tmp_path, 25, everything, max_fault_share=1.0)) == 25


def test_shares_are_taken_of_a_source_and_of_a_machine() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(95):
        breaker.record(report(unit, source=f"s{unit % 5}"), f"machine{unit % 2}")
    breaker.record(report(100, faults=1), "machine2")
    for unit in range(101, 120):
        breaker.record(report(unit, source="t"), "machine2")
    with pytest.raises(InfrastructureError, match="2 of 21 videos of machine machine2"):
        breaker.record(report(120, faults=1, source="t"), "machine2")


def test_fewer_videos_than_twenty_show_nothing_and_a_second_try_counts_alone() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(MIN_VIDEOS - 1):
        breaker.record(report(unit, faults=1, committed=False), None)
    for unit in range(MIN_VIDEOS - 1):
        breaker.record(report(unit), None)  # mended meanwhile
    breaker.record(report(99, faults=1), None)


def test_only_failures_of_the_file_itself_are_committed_at_once() -> None:
    doubtful = {kind for kind in FAILURE_SENTENCES if not is_files_own(kind)}
    assert doubtful == {"missing", "unreadable", "input_changed", "killed"}
    assert not is_files_own("ImportError")


def test_a_worker_that_fails_its_self_test_curates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(self_test, "split_silence", fail)
    with pytest.raises(
        InfrastructureError, match="failed its self-test, searching its sound for silence: RuntimeError"
    ):
        run_inline(tmp_path, 3, set())
    assert RunFolder(tmp_path / "run").finished_units(0) == set()


@pytest.mark.parametrize("name", ["encode_mp4", "encode_flac", "MediaFile", "screen_shots", "split_silence"])
def test_every_library_is_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("lib.so: cannot open shared object file")

    detectors, settings = Detectors(EMBEDDED), make_recipe().defaults
    self_test.check_tools(detectors, settings)
    monkeypatch.setattr(self_test, name, fail)
    with pytest.raises(InfrastructureError, match="cannot open shared object file; mend the installation"):
        self_test.check_tools(detectors, settings)
