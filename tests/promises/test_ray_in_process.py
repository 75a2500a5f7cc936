"""Ray started by the test process: only a video that kills its worker fails, and RetinaFace and SyncNet run.

RetinaFace ResNet-50 (the network of the package) and SyncNet have synthetic weights.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.detectors.retinaface_network import resnet50
from avf_curation.detectors.syncnet import formula_tensor, formula_weights
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.ray_pool import ActorPool
from avf_curation.pipeline.failures import OtherWeightsError
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED, make_recipe, poison_curate, stub_curate
from support.runs import make_inputs
from support.stages import single_step


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    """Runs in this process join it; starting one takes longer than these runs."""
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_video_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "in", 7)
    settings = make_recipe(
        "plan.unit_videos=1", "run.video_cpu_s=6", "run.video_memory_mb=1500", "run.unit_timeout_s=8", "run.kills=1"
    )
    run = curate(
        settings,
        EMBEDDED,
        {"made": inputs},
        tmp_path / "run",
        RunOptions(engine="ray", cluster=ClusterConfig(workers=2), stages=single_step(poison_curate)),
    )
    rows = run.ledger().to_pylist()
    failed = {row["video_id"]: (row["error"], row["message"]) for row in rows if row["status"] == "failed"}
    assert failed == {
        "001.mp4": ("killed", "its process died of SIGSEGV"),
        "003.mp4": ("memory_limit", "took more than 1500 MB of memory"),
        "005.mp4": ("cpu_limit", "took more than 6 s of CPU time"),
    }
    kept_ids = {row["video_id"] for row in rows if row["status"] == "kept"}
    assert kept_ids == {"000.mp4", "002.mp4", "004.mp4", "006.mp4"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "talk.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=60, speakers=(0,), seed=1),))))
    return folder


def test_syncnet_runs_on_ray(source: Path, tmp_path: Path) -> None:
    torch.save(formula_weights(), tmp_path / "syncnet.model")
    choice = BackendSelection(track="dlib", sync="syncnet", weights={"syncnet": tmp_path / "syncnet.model"})
    settings = make_recipe(
        "sync.every=3", "sync.min_confidence=-1000", "sync.max_offset_frames=14", "track.side_px=300"
    )
    run = curate(
        settings, choice, {"s": source}, tmp_path / "run", RunOptions(engine="ray", cluster=ClusterConfig(workers=1))
    )
    (decision,) = [d for d in table_to_decisions(run.ledger()) if "sync" in d.measurements]
    measured = json.loads(decision.measurements)["sync"]
    assert measured["backend"] == "syncnet"
    assert isinstance(measured["offset_frames"], int)
    assert measured["distance"] > 0
    assert measured["length_s"] == decision.span.seconds


def test_a_late_worker_does_not_take_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "syncnet.model"
    torch.save(formula_weights(), path)
    choice = BackendSelection(track="dlib", sync="syncnet", weights={"syncnet": path})
    grow = ActorPool.grow

    def replace_and_grow(pool: ActorPool, needed: int) -> None:
        path.write_bytes(b"other weights")
        grow(pool, needed)

    monkeypatch.setattr(ActorPool, "grow", replace_and_grow)
    options = RunOptions(engine="ray", cluster=ClusterConfig(workers=1), stages=single_step(stub_curate))
    with pytest.raises(OtherWeightsError, match=r"^\S*syncnet\.model: has SHA-256 .*put the file back") as caught:
        curate(make_recipe(), choice, {"made": make_inputs(tmp_path / "in", 1)}, tmp_path / "run", options)
    assert "\n" not in str(caught.value), "a sentence, and not the worker's traceback"
    assert RunFolder(tmp_path / "run").finished_units(0) == set()


@pytest.mark.slow
def test_resnet_runs_on_ray(source: Path, tmp_path: Path) -> None:
    state = {key: formula_tensor(key, value) for key, value in resnet50().state_dict().items()}
    torch.save(state, tmp_path / "resnet.pth")
    choice = BackendSelection(
        track="retinaface-resnet50", sync="envelope", weights={"retinaface": tmp_path / "resnet.pth"}
    )
    settings = make_recipe("track.side_px=96", "track.every=20", "track.recheck_iou=0.0")
    run = curate(
        settings, choice, {"s": source}, tmp_path / "run", RunOptions(engine="ray", cluster=ClusterConfig(workers=1))
    )
    assert run.identity().backends["track"] == "retinaface-resnet50"
    reached = [d for d in table_to_decisions(run.ledger()) if any(c.stage == "track" for c in d.checks)]
    assert reached, "the stage ran; what made-up weights see is not the point"
    assert not [d for d in table_to_decisions(run.ledger()) if d.status == "failed"]
