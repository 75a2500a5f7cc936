"""A picture that kills its process costs its unit two processes, and every other picture has its own verdict."""

import os
import signal
from pathlib import Path

import pytest
from avf_curation.detectors.detector_set import Detectors
from avf_curation.execution import isolated_pictures
from avf_curation.execution.isolated_pictures import PictureChildren, run_in_children
from avf_curation.execution.worker import PipelineStages, UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import StorageError
from avf_curation.pipeline.outcomes import ScreenedVideo
from avf_curation.pipeline.picture import check_picture_tools, curate_picture, finish_picture
from avf_curation.pipeline.picture_unit import decide_pictures
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.recipe import SourceSettings
from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures import folder
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import LEDGER, RunFolder
from avf_shards.schema.ledger import read_ledger
from support.curation_runs import IDENTITY
from support.face_pictures import EMBEDDED_PICTURES, load_picture_recipe, write_face
from support.picture_runs import STORE_WHOLE


def curate_or_die(video: Video, root: Path, settings: SourceSettings, detectors: Detectors) -> ScreenedVideo:
    if video.video_id.startswith("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    if video.video_id.startswith("unreadable"):
        raise StorageError("/data/a.jpg: EIO, Input/output error")
    return curate_picture(video, root, settings, detectors)


def make_unit(root: Path, *names: str) -> tuple[WorkerSetup, tuple[Video, ...]]:
    """Write the pictures; return a worker's setup, and the inputs in this order."""
    for name in names:
        write_face(root / "in", name, 3)
    pictures = list(folder.list_pictures(Listing("pictures", root / "in", [])))
    inputs = {picture.picture_id: picture.to_input("pictures") for picture in pictures}
    setup = WorkerSetup(
        run=RunFolder(root / "run"),
        recipe=load_picture_recipe(["pictures"], *STORE_WHOLE),
        backends=EMBEDDED_PICTURES,
        roots={"pictures": root / "in"},
        identity=IDENTITY,
        stages=PipelineStages(
            screen=curate_or_die, refine=finish_picture, decide=decide_pictures, test=check_picture_tools
        ),
    )
    return setup, tuple(inputs[name] for name in names)


def test_pictures_that_kill_their_process_cost_two_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, pictures = make_unit(tmp_path, "a.png", "kills1.png", "b.png", "c.png", "kills2.png")
    children: list[PictureChildren] = []

    class NotedChildren(PictureChildren):
        def __init__(self, setup: WorkerSetup, pictures: tuple[Video, ...]) -> None:
            super().__init__(setup, pictures)
            children.append(self)

    monkeypatch.setattr(isolated_pictures, "PictureChildren", NotedChildren)
    job = UnitJob(unit=0, attempt=0, videos=pictures, known_faults={"killed": 2})  # as in its second try
    report = run_in_children(UnitWorker(setup, tests_itself=False), job)
    assert (report.kept, report.failed) == (3, 2)
    ledger = read_ledger(setup.run.unit_folder(0, 0) / LEDGER).to_pylist()
    verdicts = {row["video_id"]: (row["status"], row["error"]) for row in ledger}
    assert verdicts == {
        "a.png": ("kept", None),
        "kills1.png": ("failed", "killed"),
        "b.png": ("kept", None),
        "c.png": ("kept", None),
        "kills2.png": ("failed", "killed"),
    }
    assert [unit.children for unit in children] == [4]


def test_a_fault_of_storage_in_a_child_of_many_is_that_of_its_parent(tmp_path: Path) -> None:
    setup, pictures = make_unit(tmp_path, "a.png", "unreadable.png", "b.png")
    with pytest.raises(StorageError, match=r"/data/a\.jpg: EIO"):
        run_in_children(UnitWorker(setup, tests_itself=False), UnitJob(unit=0, attempt=0, videos=pictures))


def test_a_unit_that_runs_alone_has_a_process_for_each_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, pictures = make_unit(tmp_path, "a.png")
    asked: list[UnitJob] = []
    monkeypatch.setattr(isolated_pictures, "run_isolated", lambda worker, job: asked.append(job))
    job = UnitJob(unit=0, attempt=0, videos=pictures, runs_alone=True)
    run_in_children(UnitWorker(setup, tests_itself=False), job)
    assert asked == [job]
