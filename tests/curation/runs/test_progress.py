"""The progress of a run moves with each video, and a small input is cut into units for all workers."""

import threading
from pathlib import Path

import pytest
from avf_curation.console.audit_tables import describe_plan
from avf_curation.console.progress_bar import ProgressBar
from avf_curation.execution.active_units import ActiveUnitFile, read_active_units
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.plan import cut_units
from avf_curation.runs.progress import Progress
from avf_curation.runs.status import run_status
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import EMBEDDED, make_recipe, make_source_video, stub_curate
from support.runs import make_inputs, make_run
from support.stages import single_step

VIDEOS = 3
SEEN = threading.Event()  # the test saw that the first video is finished


def curate_after_it_was_seen(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    if video.path != "000.mp4":
        assert SEEN.wait(60), "the progress never showed the first video"
    return stub_curate(video, root, settings, tools)


def test_a_video_of_a_unit_in_progress_counts_before_the_unit_is_committed(tmp_path: Path) -> None:
    SEEN.clear()
    reports: list[Progress] = []
    status = []

    def watch(progress: Progress) -> None:
        reports.append(progress)
        if progress.videos_in_units == 1:
            status.append(run_status(RunFolder(tmp_path / "run")).progress)  # as another process would see it
            SEEN.set()

    run = curate(
        make_recipe(f"plan.unit_videos={VIDEOS}"),
        EMBEDDED,
        {"made": make_inputs(tmp_path / "in", VIDEOS)},
        tmp_path / "run",
        RunOptions(engine="inline", stages=single_step(curate_after_it_was_seen)),
        on_progress=watch,
    )
    assert [(progress.videos_done, progress.videos_in_units) for progress in (reports[0], reports[-1])] == [
        (0, 0),
        (VIDEOS, 0),
    ]
    assert status[0].videos_in_units == 1
    assert status[0].videos_done == 0
    assert read_active_units(run, 0) == []


@pytest.mark.parametrize(("videos", "units"), [(1, 1), (30, 30), (100, 50), (640, 64), (5000, 313)])
def test_a_small_input_is_cut_into_units_for_many_workers(videos: int, units: int) -> None:
    inputs = [make_source_video(f"{number:05d}") for number in range(videos)]
    assert len(set(cut_units(inputs, {"made": load_recipe().defaults.plan}))) == units


def test_the_time_left_is_logged_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(units=2, units_done=0, videos=4, videos_done=0, kept=0, rejected=0, failed=0, frames=0)
    with caplog.at_level("INFO", logger="avf_curation"), ProgressBar() as bar:
        bar._logged_s -= 3600
        bar(progress)
        bar._logged_s -= 3600
        bar(Progress(**(vars(progress) | {"videos_in_units": 2})))
        bar(Progress(**(vars(progress) | {"videos_in_units": 2})))
    assert [record.message for record in caplog.records][1:] == [
        "2/4 videos, 0 kept, 0 rejected, 0 failed; about 0 s left"
    ]


def test_two_runs_of_equal_settings_are_told_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, videos=videos) for name, videos in (("a", 2), ("b", 3), ("c", 3))]
    few, many, again = (run.plan_summary() for run in runs)
    assert {run.identity().fingerprint for run in runs} == {runs[0].identity().fingerprint}
    assert few.inputs_sha256 != many.inputs_sha256
    assert many.inputs_sha256 == again.inputs_sha256, "the place and the time of the inputs do not count"
    assert (few.name, few.videos) == ("a/run", 2)
    text = describe_plan(few)
    assert text.startswith(f"run a/run: 2 inputs (digest {few.inputs_sha256[:16]}), planned 20")


def test_a_worker_of_a_large_cluster_notes_its_progress_rarely(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    job = UnitJob(unit=3, attempt=0, videos=tuple(make_source_video(f"{number}") for number in range(2)))
    with ActiveUnitFile(run, job, min_interval_s=3600) as slow:
        slow.video_started("0")
        slow.video_done()
        assert [unit.videos_done for unit in read_active_units(run, 0)] == [0]
    with ActiveUnitFile(run, job, min_interval_s=0) as active:
        active.video_started("0")
        active.video_done()
        assert [unit.videos_done for unit in read_active_units(run, 0)] == [1]
    assert read_active_units(run, 0) == []
