"""`avf-train extract --ray`: the same bytes as without Ray, and a worker that ends costs one track."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.distributed.ray_cluster import RayResources, connect_ray
from avf_training.framewise.tracks.extraction import TrackExtraction
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.picture_folders import picture_inputs
from avf_training.framewise.tracks.ray_extraction import RayExtraction, RayWorkers
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput
from support.tiny_extractors import save_vit

VIDEOS = ("a", "b", "c", "d")


@pytest.fixture
def cropped(tmp_path: Path) -> Path:
    """Return a folder with pictures of four videos, of which one has a damaged picture."""
    for video in VIDEOS:
        (tmp_path / "cropped" / video).mkdir(parents=True)
        for number in (1, 2, 5):
            picture = np.random.default_rng((number, ord(video))).integers(0, 255, (40, 40, 3)).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / f"cropped/{video}/{number:05d}.jpg"), picture)
    (tmp_path / "cropped/b/00005.jpg").write_bytes(b"no picture")
    return tmp_path / "cropped"


def test_workers_of_ray_write_the_same_tracks_and_go_on_where_a_command_stopped(
    cropped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_vit(tmp_path / "vit")
    argv = ["extract", "cropped", "--pictures", "lab", "--extractor", "vit", "--weights", "vit", "--device", "cpu"]
    assert main([*argv, "--out", "here"]) == 1
    first = tmp_path / "ray/vit/lab/a.parquet"
    first.parent.mkdir(parents=True)
    first.write_bytes((tmp_path / "here/vit/lab/a.parquet").read_bytes())
    capsys.readouterr()
    assert main([*argv, "--out", "ray", "--ray", "local", "--jobs", "2"]) == 1
    printed = capsys.readouterr()
    assert "2 tracks written (6 vectors), 1 track there already" in printed.out
    assert "b/00005.jpg: is neither JPEG nor PNG" in printed.err
    written = {path.name: path.read_bytes() for path in (tmp_path / "ray").rglob("*.parquet")}
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "here").rglob("*.parquet")}
    assert len(written) == 3


@pytest.mark.slow
def test_a_worker_that_ends_costs_the_track_it_was_at(cropped: Path, tmp_path: Path) -> None:
    import ray

    def end_process() -> Iterator[FootageStretch]:
        os._exit(7)

    weights, out = save_vit(tmp_path / "vit"), tmp_path / "tracks"

    def make() -> TrackExtraction:
        return TrackExtraction(load_extractor("vit", weights), out)

    (cropped / "b/00005.jpg").unlink()
    inputs = list(picture_inputs(cropped, "lab", lambda video: 25.0, print))
    inputs.insert(
        1, TrackInput(subject=TrackSubject(source="lab", video_id="bomb"), fps=25.0, inputs_sha256="", read=end_process)
    )
    workers = RayWorkers.from_resources(connect_ray("local"), 1, "cpu")
    try:
        report = RayExtraction(make(), make, workers).run(inputs, lambda *_: None)
    finally:
        ray.shutdown()
    assert report.written == 4
    (fault,) = report.faults
    assert fault.startswith("lab/bomb: the worker that wrote it ended")


@pytest.mark.parametrize(
    ("gpus", "jobs", "device", "expected"),
    [(0, None, None, (8, 0)), (2, None, None, (2, 1)), (2, None, "cpu", (8, 0)), (2, 5, "cuda", (5, 1))],
)
def test_there_is_a_worker_for_each_gpu_or_else_for_each_cpu(
    gpus: int, jobs: int | None, device: str | None, expected: tuple[int, float]
) -> None:
    workers = RayWorkers.from_resources(RayResources(cpus=8, gpus=gpus, node_gpus=gpus), jobs, device)
    assert (workers.count, workers.gpus) == expected


def test_wrong_words_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="--device cuda: the Ray cluster has no GPU"):
        RayWorkers.from_resources(RayResources(cpus=8, gpus=0, node_gpus=0), None, "cuda")
    (tmp_path / "videos").mkdir()
    (tmp_path / "vit").write_bytes(b"")
    argv = ["extract", str(tmp_path / "videos"), "--extractor", "vggish", "--weights", str(tmp_path / "vit")]
    argv += ["--out", str(tmp_path / "tracks"), "--sound", "lab"]
    assert main([*argv, "--jobs", "2"]) == 2
    assert "--jobs 2: works with --ray" in capsys.readouterr().err
    assert main([*argv, "--jobs", "0", "--ray", "local"]) == 2
    assert "--jobs 0: is at least 1" in capsys.readouterr().err
    assert main([*argv[:-2], "--ray", "10.0.0.1:6379"]) == 2
    assert "name a folder for them that all nodes see with --keep-clips" in capsys.readouterr().err
