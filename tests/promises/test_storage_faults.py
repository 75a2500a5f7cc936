"""Promise: a read that fails decides nothing. The run stops with the path and the error; afterwards it continues."""

import errno
import shutil
from pathlib import Path

import pytest
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.execution.events import read_events
from avf_curation.execution.worker import PipelineStages
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.failing_reads import failing_reads
from support.stages import single_step
from support.trees import file_digests

FULL_PIPELINE = PipelineStages()
QUICK = ("faces.side_px=300", "track.side_px=300")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good film of three seconds."""
    folder = tmp_path_factory.mktemp("source")
    script = VideoScript(shots=(ShotScript(frames=75, speakers=(0,), seed=1),))
    (folder / "a.mp4").write_bytes(encode_video(script))
    return folder


def run_inline(source: Path, out: Path, stages: PipelineStages = FULL_PIPELINE) -> RunFolder:
    options = RunOptions(engine="inline", stages=stages)
    return curate(make_recipe(*QUICK), EMBEDDED, {"s": source}, out, options)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_a_failing_read_stops_the_run_and_decides_nothing(source: Path, tmp_path: Path, share: float) -> None:
    film = source / "a.mp4"
    clean = file_digests(run_inline(source, tmp_path / "clean").root)
    with failing_reads(film) as counter:
        run_inline(source, tmp_path / "counted")
    # The first two operations are those of the plan.
    first = 3 + round(share * (counter.count - 3))
    message = f"{film}: EIO, Input/output error; nothing is decided"
    with failing_reads(film, lambda count: count >= first) as failing:
        with pytest.raises(InfrastructureError, match=message):
            run_inline(source, tmp_path / "run")
        assert failing.failed
    run = RunFolder(tmp_path / "run")
    assert run.finished_units(0) == set()
    assert sum(event["name"] == "unit_put_back" for event in read_events(run.log_folder)) == 3
    assert file_digests(run_inline(source, run.root).root) == clean


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_each_operation_of_the_digest_is_checked(source: Path, tmp_path: Path, number: int) -> None:
    stages = single_step(stub_curate)
    with failing_reads(source / "a.mp4") as counter:
        run_inline(source, tmp_path / "counted", stages)
    for first in range(3, counter.count + 1):
        with (
            failing_reads(source / "a.mp4", lambda count, first=first: count >= first, number),
            pytest.raises(InfrastructureError, match=rf"a\.mp4: {errno.errorcode[number]}"),
        ):
            run_inline(source, tmp_path / f"run{first}", stages)


def test_a_source_that_is_not_mounted_stops_the_run(source: Path, tmp_path: Path) -> None:
    """After `plan` the mount point is there, and empty: the file is missing, and the machine is to blame."""
    mounted = tmp_path / "mounted"
    shutil.copytree(source, mounted)
    (mounted / "b.mp4").write_bytes(b"not a film")
    with failing_reads(mounted / "a.mp4", lambda count: count >= 3), pytest.raises(InfrastructureError):
        run_inline(mounted, tmp_path / "run")
    (mounted / "a.mp4").rename(tmp_path / "a.mp4")
    (mounted / "b.mp4").unlink()
    with pytest.raises(InfrastructureError, match="the folder of source s is empty or gone; mount it"):
        run_inline(mounted, tmp_path / "run")
    assert RunFolder(tmp_path / "run").finished_units(0) == set()
