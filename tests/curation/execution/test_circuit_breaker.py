"""Failures that say more about the machine than about the files stop the run, and decide nothing."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from avf_curation.detectors.detector_set import Detectors
from avf_curation.execution.circuit_breaker import MIN_FAILURES, MIN_VIDEOS, CircuitBreaker
from avf_curation.execution.events import read_events
from avf_curation.pipeline import self_test
from avf_curation.pipeline.failures import FAILURE_SENTENCES, InfrastructureError, classify_failure, is_files_own
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.unit_log import read_unit_log
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs
from support.stages import CurateVideo, single_step
from support.trees import result_digests

BROKEN: set[str] = set()  # names of the videos that fail, as if the home could not be written to
LATER: set[str] = set()  # names of those that fail so from the second try of any video on
TRIED: Counter[str] = Counter()  # name of a video -> tries


def curate_on_a_broken_machine(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    if video.path in BROKEN:
        failure = classify_failure("track", RuntimeError("cannot cache function: no locator available"))
        return VideoOutcomes(video=video, outcomes=(fail_video(video, failure),))
    return stub_curate(video, root, settings, tools)


def fail_more_later(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    TRIED[video.path] += 1
    if TRIED[video.path] > 1:
        BROKEN.update(LATER)
    return curate_on_a_broken_machine(video, root, settings, tools)


def interrupt_the_second_try(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    TRIED[video.path] += 1
    if TRIED[video.path] > 1:
        raise KeyboardInterrupt
    return curate_on_a_broken_machine(video, root, settings, tools)


def run_inline(
    folder: Path,
    videos: int,
    broken: set[str],
    *,
    unit_videos: int = 1,
    curate_video: CurateVideo = curate_on_a_broken_machine,
    later: Iterable[str] = (),
    **options: Any,
) -> RunFolder:
    source = folder / "in"
    if not source.is_dir():
        source.mkdir()
        for number in range(videos):
            (source / f"{number:03d}.mp4").write_bytes(b"film %d" % number)
    BROKEN.clear()
    BROKEN.update(broken)
    LATER.clear()
    LATER.update(later)
    TRIED.clear()
    stages = single_step(curate_video)
    return curate(
        make_recipe(f"plan.unit_videos={unit_videos}"),
        EMBEDDED,
        {"s": source},
        folder / "run",
        RunOptions(engine="inline", stages=stages, **options),
    )


def count_failed(run: RunFolder) -> int:
    return sum(decision.status == "failed" for decision in table_to_decisions(run.ledger()))


def report(unit: int, *, faults: int = 0, committed: bool = True, source: str = "s", videos: int = 1) -> UnitReport:
    counts = {"RuntimeError": faults} if faults else {}
    return UnitReport(
        unit=unit,
        videos=videos,
        kept=0,
        rejected=0,
        failed=faults,
        frames=0,
        source=source,
        faults=counts,
        fault_example="s/a, track/RuntimeError: no locator" if faults else "",
        is_committed=committed,
    )


def test_a_broken_machine_decides_nothing(tmp_path: Path) -> None:
    everything = {f"{number:03d}.mp4" for number in range(30)}
    with pytest.raises(InfrastructureError, match="20 of 20 videos of source s failed with RuntimeError") as caught:
        run_inline(tmp_path, 30, everything)
    assert "no locator available" in str(caught.value)
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
    for unit in range(100, 104):
        breaker.record(report(unit, faults=1, committed=False, source=f"s{unit % 5}"), "machine2")
    for unit in range(104, 120):
        breaker.record(report(unit, source="t"), "machine2")
    with pytest.raises(InfrastructureError, match="5 of 21 videos of machine machine2"):
        breaker.record(report(120, faults=1, committed=False, source="t"), "machine2")


def test_fewer_videos_than_twenty_show_nothing_and_a_second_try_counts_alone() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(MIN_VIDEOS - 1):
        breaker.record(report(unit, faults=1, committed=False), None)
    for unit in range(MIN_VIDEOS - 1):
        breaker.record(report(unit), None)  # mended meanwhile
    breaker.record(report(99, faults=1, committed=False), None)


def test_videos_that_are_decided_count_for_their_source_and_on_every_machine() -> None:
    breaker = CircuitBreaker(0.05, {"s": 1000})
    for unit in range(6):
        breaker.record(report(unit, faults=1, committed=False, videos=16), f"machine{unit % 2}")
    breaker.record(report(6, faults=4, committed=False, videos=16, source="t"), "machine0")
    with pytest.raises(InfrastructureError, match="5 of 32 videos of source t failed"):
        breaker.record(report(7, faults=1, committed=False, videos=16, source="t"), "machine0")


def test_the_only_video_of_one_of_many_sources_may_be_an_exception() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(10):
        breaker.record(report(unit), None)
    breaker.record(report(10, faults=1, committed=False, source="t"), None)
    breaker.check_small_groups()
    breaker.record(report(11, faults=1, committed=False, source="t"), None)
    with pytest.raises(InfrastructureError, match="2 of 2 videos of source t failed with RuntimeError, most of them"):
        breaker.check_small_groups()


def test_a_few_missing_files_among_the_first_do_not_stop_a_run() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(MIN_FAILURES - 1):
        breaker.record(report(unit, faults=1, committed=False, videos=16), None)
    with pytest.raises(InfrastructureError, match=r"5 of 80 videos of source .*--max-fault-share 1 lets them fail"):
        breaker.record(report(MIN_FAILURES, faults=1, committed=False, videos=16), None)


def test_a_machine_that_fails_more_than_the_others_is_named_in_a_run_that_goes_on() -> None:
    breaker = CircuitBreaker(0.05, {"s": 1000})
    breaker.record(report(0, faults=1, committed=False, videos=32), "machine0")
    breaker.record(report(1, faults=2, committed=False, videos=32), "machine1")
    with pytest.raises(InfrastructureError, match="6 of 48 videos of machine machine1 failed"):
        breaker.record(report(2, faults=4, committed=False, videos=16), "machine1")


def test_many_small_sources_show_a_broken_machine_together() -> None:
    breaker = CircuitBreaker(0.05)
    for unit in range(MIN_VIDEOS - 1):
        breaker.record(report(unit, faults=1, committed=False, source=f"s{unit}"), "machine")
    with pytest.raises(InfrastructureError, match="20 of 20 videos of the run failed"):
        breaker.record(report(99, faults=1, committed=False, source="t"), "machine")


def test_a_run_that_was_interrupted_at_its_last_units_ends_with_the_same_bytes(tmp_path: Path) -> None:
    broken = {"000.mp4", "048.mp4"}  # in the first and the last of four units
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    run = run_inline(tmp_path / "whole", 64, broken, unit_videos=16)
    with pytest.raises(KeyboardInterrupt):
        run_inline(tmp_path / "parts", 64, broken, unit_videos=16, curate_video=interrupt_the_second_try)
    assert len(RunFolder(tmp_path / "parts/run").finished_units(0)) == 2
    continued = run_inline(tmp_path / "parts", 64, broken, unit_videos=16)
    assert count_failed(continued) == 2
    assert result_digests(continued.root) == result_digests(run.root)


def test_a_retry_in_which_a_few_of_the_failed_videos_fail_once_more_ends(tmp_path: Path) -> None:
    names = [f"{number:03d}.mp4" for number in range(100)]
    assert count_failed(run_inline(tmp_path, 100, set(names[:25]), max_fault_share=1.0)) == 25
    run = run_inline(tmp_path, 100, set(names[:2]), retry_failed=True)
    assert count_failed(run) == 2
    assert (run.attempt_folder(1) / "ledger").is_dir()


def test_failures_of_the_first_unit_count_when_later_units_have_none(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="16 of 32 videos of source s failed with RuntimeError"):
        run_inline(tmp_path, 48, {f"{number:03d}.mp4" for number in range(16)}, unit_videos=16)
    run = RunFolder(tmp_path / "run")
    assert run.finished_units(0) == {1}
    assert [entry.report.unit for entry in read_unit_log(run)] == [1]


def test_a_second_try_that_fails_more_is_counted_before_it_is_committed(tmp_path: Path) -> None:
    everything = {f"{number:03d}.mp4" for number in range(48)}
    with pytest.raises(InfrastructureError, match="16 of 48 videos of source s failed with RuntimeError"):
        run_inline(tmp_path, 48, {"000.mp4"}, unit_videos=16, curate_video=fail_more_later, later=everything)
    assert RunFolder(tmp_path / "run").finished_units(0) == {1, 2}


def test_a_second_try_that_fails_a_little_more_is_put_back_once_more(tmp_path: Path) -> None:
    run = run_inline(tmp_path, 64, {"000.mp4"}, unit_videos=16, curate_video=fail_more_later, later={"001.mp4"})
    assert count_failed(run) == 2
    assert [event["name"] for event in read_events(run.log_folder)].count("unit_put_back") == 2


def test_only_failures_of_the_file_itself_are_committed_at_once() -> None:
    doubtful = {kind for kind in FAILURE_SENTENCES if not is_files_own(kind)}
    assert doubtful == {"missing", "unreadable", "input_changed", "killed", "package_fault"}
    assert not is_files_own("RuntimeError")


def test_a_worker_that_fails_its_self_test_curates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    source, options = make_inputs(tmp_path / "in", 3), RunOptions(engine="inline")
    monkeypatch.setattr(self_test, "split_silence", fail)
    with pytest.raises(
        InfrastructureError, match="failed its self-test, searching its sound for silence: RuntimeError"
    ):
        curate(make_recipe(), EMBEDDED, {"s": source}, tmp_path / "run", options)
    assert RunFolder(tmp_path / "run").finished_units(0) == set()


@pytest.mark.parametrize("name", ["encode_mp4", "encode_flac", "MediaFile", "screen_shots", "split_silence"])
def test_every_library_is_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("lib.so: cannot open shared object file")

    detectors, settings = Detectors(EMBEDDED), make_recipe().defaults
    self_test.check_tools(detectors, settings)
    monkeypatch.setattr(self_test, name, fail)
    with pytest.raises(InfrastructureError, match="cannot open shared object file; mend the installation"):
        self_test.check_tools(detectors, settings)
