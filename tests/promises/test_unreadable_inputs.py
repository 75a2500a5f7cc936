"""Promise: an input that stays unreadable, or a broken library, holds up its own unit alone and decides nothing."""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from avf_curation.pipeline.failures import InfrastructureError, classify_failure
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.failing_reads import failing_reads
from support.stages import single_step
from support.trees import result_digests

UNITS = 6
CURATED: list[str] = []  # names of the videos that were decoded, in order
ERRORS: dict[str, Exception] = {}  # name of a video -> what its stages raise


def curate_stub(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Do as the pipeline does: an error is classified, and those of the machine are raised."""
    try:
        outcomes = stub_curate(video, root, settings, tools)
        if video.path in ERRORS:
            raise ERRORS[video.path]
    except Exception as error:
        return VideoOutcomes(video=video, outcomes=(fail_video(video, classify_failure("track", error)),))
    CURATED.append(video.path)
    return outcomes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2 * UNITS):
        (folder / f"{number:02d}.mp4").write_bytes(b"film %d" % number)
    CURATED.clear()
    ERRORS.clear()
    return folder


def run_stub(source: Path, out: Path, unit_videos: int = 2, **options: Any) -> RunFolder:
    """Curate twelve files, two in a unit."""
    recipe = make_recipe(f"plan.unit_videos={unit_videos}", "plan.min_units=1")
    stages = single_step(curate_stub)
    return curate(recipe, EMBEDDED, {"s": source}, out, RunOptions(engine="inline", stages=stages, **options))


def failed(run: RunFolder) -> list[tuple[str, str, str]]:
    """Return video, kind and message of each failed span."""
    ledger = run.ledger()
    rows = ledger.filter(pc.equal(ledger["status"], "failed"))
    return [tuple(row.values()) for row in rows.select(["video_id", "error", "message"]).to_pylist()]


def test_a_file_that_stays_unreadable_holds_up_its_own_unit_alone(source: Path, tmp_path: Path) -> None:
    clean = result_digests(run_stub(source, tmp_path / "clean").root)
    film, run = source / "01.mp4", RunFolder(tmp_path / "run")
    for number in (errno.EIO, errno.EACCES, errno.ESTALE):
        CURATED.clear()
        message = rf"01\.mp4: {errno.errorcode[number]}, .*; nothing is decided about the videos of 1 unit, .*--fail-un"
        with failing_reads(film, lambda count: count >= 3, number), pytest.raises(InfrastructureError, match=message):
            run_stub(source, run.root)
        assert run.finished_units(0) == set(range(1, UNITS))
        assert CURATED.count("00.mp4") <= 1, "its neighbour is decoded once, not in each try"
    assert result_digests(run_stub(source, run.root).root) == clean


def test_every_unreadable_file_of_a_unit_is_named(source: Path, tmp_path: Path) -> None:
    with (
        failing_reads(source / "02.mp4", lambda count: count >= 3),
        failing_reads(source / "03.mp4", lambda count: count >= 3, errno.ESTALE),
        pytest.raises(InfrastructureError, match=r"02\.mp4: EIO, .*; .*03\.mp4: ESTALE"),
    ):
        run_stub(source, tmp_path / "run")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_unreadable_files_fail_where_the_user_says_so_and_retry_takes_them_up(
    source: Path, tmp_path: Path, number: int
) -> None:
    clean = run_stub(source, tmp_path / "clean").ledger()
    with failing_reads(source / "01.mp4", lambda count: count >= 3, number):
        run = run_stub(source, tmp_path / "run", fail_unreadable=True)
    assert run.finished_units(0) == set(range(UNITS))
    [(video, kind, message)] = failed(run)
    assert (video, kind) == ("01.mp4", "unreadable")
    assert message.startswith(errno.errorcode[number])
    retried = run_stub(source, run.root, retry_failed=True)
    assert failed(retried) == []
    columns = ["video_id", "start_frame", "stop_frame", "status", "clips"]
    assert retried.ledger().select(columns).equals(clean.select(columns))


def test_a_lack_of_the_process_never_fails_a_file(source: Path, tmp_path: Path) -> None:
    """Too many open files is no property of the file that was opened last."""
    with (
        failing_reads(source / "01.mp4", lambda count: count >= 3, errno.EMFILE),
        pytest.raises(InfrastructureError, match="EMFILE"),
    ):
        run_stub(source, tmp_path / "run", fail_unreadable=True)
    assert RunFolder(tmp_path / "run").finished_units(0) == set(range(1, UNITS))


BROKEN_TOOLS: Sequence[Exception] = (
    ModuleNotFoundError("No module named 'numba'"),
    ImportError("libGL.so.1: cannot open shared object file"),
    OSError("libcudnn.so.9: cannot open shared object file"),
    FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
)


@pytest.mark.parametrize("error", BROKEN_TOOLS)
@pytest.mark.parametrize("videos", [1, 2 * UNITS])
def test_a_missing_library_never_decides_a_video(source: Path, tmp_path: Path, error: Exception, videos: int) -> None:
    names = sorted(path.name for path in source.iterdir())
    ERRORS.update(dict.fromkeys(names[-videos:], error))
    with pytest.raises(InfrastructureError, match="mend the machine") as caught:
        run_stub(source, tmp_path / "run", max_fault_share=1.0, fail_unreadable=True)
    assert str(error) in str(caught.value)
    run = RunFolder(tmp_path / "run")
    assert len(run.finished_units(0)) == UNITS - max(1, videos // 2)
    assert failed(run) == []
    ERRORS.clear()
    assert failed(run_stub(source, run.root)) == []


@pytest.mark.parametrize("videos", [1, 2, 3, 12])
def test_a_small_corpus_that_fails_for_one_reason_is_not_decided(source: Path, tmp_path: Path, videos: int) -> None:
    for path in sorted(source.iterdir())[videos:]:
        path.unlink()
    ERRORS.update({path.name: RuntimeError("cannot cache function: no locator") for path in source.iterdir()})
    message = f"{videos} of {videos} videos of .* failed with RuntimeError, most of them; .*no locator"
    with pytest.raises(InfrastructureError, match=message):
        run_stub(source, tmp_path / "run", unit_videos=1)
    assert RunFolder(tmp_path / "run").finished_units(0) == set()
    assert len(failed(run_stub(source, tmp_path / "run", unit_videos=1, max_fault_share=1.0))) == videos


def test_a_few_failures_of_a_small_corpus_are_decided(source: Path, tmp_path: Path) -> None:
    ERRORS["03.mp4"] = RuntimeError("list index out of range")
    assert [video for video, _, _ in failed(run_stub(source, tmp_path / "run"))] == ["03.mp4"]
