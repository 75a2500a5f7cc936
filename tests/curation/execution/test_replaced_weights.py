"""A worker whose weight file was replaced since the run's start stops the run, and decides no video."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.shipped_weights import SYNC_HEAD
from avf_curation.detectors.sync_head_file import HEAD_FILE
from avf_curation.detectors.weights import ReplacedWeightsError
from avf_curation.execution import inline_runner
from avf_curation.execution.isolated import run_isolated
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import OtherWeightsError
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.identity import run_identity
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import make_recipe, make_source_video, stub_curate
from support.runs import make_inputs
from support.stages import single_step

MESSAGE = r"sync_head\.safetensors: has SHA-256 .*, but this run measures with .*put the file back.*or start a run in a"


@pytest.fixture
def learned(tmp_path: Path) -> BackendSelection:
    """The learned sync network, in a file of its own."""
    path = Path(shutil.copyfile(SYNC_HEAD.path, tmp_path / HEAD_FILE))
    return BackendSelection(track="dlib", sync="learned", weights={"sync_head": path})


def learn_anew(backends: BackendSelection) -> None:
    """Replace the file by another valid one, as `learn-sync` does."""
    path = backends.weights["sync_head"]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_an_inline_run_stops_and_goes_on_with_the_first_file(
    learned: BackendSelection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = make_inputs(tmp_path / "in", 2)
    options = RunOptions(engine="inline", stages=single_step(stub_curate))

    def start_late(setup: WorkerSetup) -> UnitWorker:
        learn_anew(learned)
        return UnitWorker(setup)

    with monkeypatch.context() as patch:
        patch.setattr(inline_runner, "UnitWorker", start_late)
        with pytest.raises(OtherWeightsError, match=MESSAGE):
            curate(make_recipe(), learned, {"made": inputs}, tmp_path / "run", options)
    assert RunFolder(tmp_path / "run").finished_units(0) == set()
    shutil.copyfile(SYNC_HEAD.path, learned.weights["sync_head"])
    run = curate(make_recipe(), learned, {"made": inputs}, tmp_path / "run", options)
    assert set(run.ledger()["status"].to_pylist()) == {"kept", "rejected"}


def test_the_child_of_an_isolated_video_stops_the_run(learned: BackendSelection, tmp_path: Path) -> None:
    recipe, run = make_recipe(), RunFolder(tmp_path / "run")
    worker = UnitWorker(
        WorkerSetup(
            run=run,
            recipe=recipe,
            backends=learned,
            roots={"made": tmp_path},
            identity=run_identity(recipe, learned, ["made"]),
            stages=single_step(stub_curate),
        ),
        tests_itself=False,
    )
    (tmp_path / "a.mp4").write_bytes(b"film")
    learn_anew(learned)
    with pytest.raises(OtherWeightsError, match=MESSAGE):
        run_isolated(worker, UnitJob(unit=0, attempt=0, videos=(make_source_video("a.mp4"),)))
    assert run.finished_units(0) == set()


def select_file(name: str, **backends: str) -> Callable[[Path], BackendSelection]:
    return lambda path: BackendSelection(**({"track": "dlib", "sync": "envelope"} | backends), weights={name: path})


def select_package(**backends: str) -> Callable[[Path], BackendSelection]:
    return lambda path: BackendSelection(
        **({"track": "dlib", "sync": "envelope"} | backends),
        weights={"sync_head": SYNC_HEAD.path} if "sync" in backends else {},
    )


@pytest.mark.parametrize(
    ("name", "select", "file_name"),
    [
        ("retinaface", select_file("retinaface", track="retinaface-mobilenet"), "file.bin"),
        ("syncnet", select_file("syncnet", sync="syncnet"), "file.bin"),
        ("lr_asd", select_file("lr_asd", speaker="lr-asd"), "file.bin"),
        ("yunet", select_file("yunet", faces="yunet"), "file.bin"),
        ("sync_head", select_file("sync_head", sync="learned"), "file.bin"),
        ("face_mesh", select_package(sync="learned"), "face_landmark.tflite"),
        ("blazeface", select_package(faces="dlib+blazeface"), "face_detection_back.tflite"),
        ("silero", select_package(speech="silero"), "silero_vad_16k.safetensors"),
    ],
)
def test_the_weights_of_every_network_are_compared(
    name: str, select: Callable[[Path], BackendSelection], file_name: str, tmp_path: Path
) -> None:
    (tmp_path / "file.bin").write_bytes(b"other weights")
    choice = select(tmp_path / "file.bin")
    assert name in choice.weight_digests()
    with pytest.raises(ReplacedWeightsError, match=rf"{file_name}: has SHA-256 .*measures with 0000000000000000\.\.\."):
        Detectors(choice, "cpu", choice.weight_digests() | {name: "0" * 16})
