"""`avf-train extract` writes tracks of labelled clips, goes on after a stop, and names what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.cli import logging_setup
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.framewise.models.vggish import VGGish
from avf_training.framewise.tracks.clips_of_people import clip_inputs
from avf_training.framewise.tracks.extraction import TrackExtraction
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.tasks.labelled_shards import LabelledShards
from safetensors.torch import save_file
from support.tiny_extractors import MAKERS, save_hubert, save_pdem, save_vggish, save_vit


@pytest.mark.parametrize("name", MAKERS)
def test_each_extractor_writes_a_track_of_every_video(
    name: str,
    shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging_setup, "draws_progress", lambda: True)
    save, width, frames = MAKERS[name]
    weights = save(tmp_path / "weights.safetensors")
    out = tmp_path / "tracks"
    argv = ["extract", str(shards), "--extractor", name, "--weights", str(weights), "--out", str(out)]
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert f"{name}: 4 tracks written ({4 * len(frames)} vectors), 0 tracks there already" in printed.out
    assert "track 4 of 4" in printed.err
    files = TrackFolder(out).files()
    assert len(files) == 4
    tracks = [read_track(path, width=width) for path in files]
    for track in tracks:
        assert track.frames_N.tolist() == frames
        assert track.times_s_N == pytest.approx((np.array(frames) - 1) / 25)
        assert track.extractor == load_extractor(name, weights).identity
    assert not np.array_equal(tracks[0].vectors_ND, tracks[1].vectors_ND), "left and right look and sound different"
    before = {path: path.stat().st_mtime_ns for path in files}
    assert main(argv) == 0
    assert "0 tracks written (0 vectors), 4 tracks there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert main(["tracks", str(out), "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["extractors"]
    assert (row["extractor"], row["tracks"], row["width"], row["frames"]) == (name, 4, width, 4 * len(frames))


def run_extract(shards: Path, tmp_path: Path, *words: str) -> list[str]:
    return ["extract", str(shards), "--out", str(tmp_path / "tracks"), *words]


def test_other_weights_are_refused_and_nothing_changes(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = save_vggish(tmp_path / "a.safetensors", True), save_vggish(tmp_path / "b.safetensors", False)
    assert main(run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(first))) == 0
    before = {path: path.read_bytes() for path in TrackFolder(tmp_path / "tracks").files()}
    assert main(run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(second))) == 2
    assert "is of other weights of vggish" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in TrackFolder(tmp_path / "tracks").files()} == before


def test_a_stopped_extraction_goes_on_and_a_damaged_track_is_made_new(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_vggish(tmp_path / "a.safetensors", True)
    argv = run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(weights))
    assert main(argv) == 0
    files = TrackFolder(tmp_path / "tracks").files()
    complete = {path: path.read_bytes() for path in files}
    files[0].unlink()
    files[1].write_bytes(complete[files[1]][:100])
    (files[2].parent / f".{files[2].name}.999").write_bytes(b"what a killed process left")
    capsys.readouterr()
    assert main(["tracks", str(tmp_path / "tracks")]) == 1
    assert "1 file cannot be used" in capsys.readouterr().out
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert "2 tracks written (128 vectors), 2 tracks there already" in printed.out
    assert "it is written anew" in printed.err
    assert {path: path.read_bytes() for path in files} == complete


def test_a_damaged_clip_costs_its_video_alone(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    tar = next(copy.glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[data.index(b"fLaC") + 200] ^= 0xFF
    tar.write_bytes(data)
    weights = save_vggish(tmp_path / "a.safetensors", True)
    argv = run_extract(copy, tmp_path, "--extractor", "vggish", "--weights", str(weights))
    assert main(argv) == 1
    printed = capsys.readouterr()
    assert "3 tracks written" in printed.out
    assert "1 input without a track; the same command tries them again" in printed.out
    assert len([line for line in printed.err.splitlines() if "lab/00" in line and "is damaged" in line]) == 1
    assert len(TrackFolder(tmp_path / "tracks").files()) == 3


def test_a_track_that_another_process_wrote_first_stays(shards: Path, tmp_path: Path) -> None:
    extractor = load_extractor("vggish", save_vggish(tmp_path / "a.safetensors", True))
    late = TrackExtraction(extractor, tmp_path / "tracks")

    def overtake(subject: TrackSubject, number: int, videos: int) -> None:
        if number == 1:
            first = TrackExtraction(extractor, tmp_path / "tracks")
            assert first.run(clip_inputs(str(shards), pytest.fail), lambda *_: None).written == 4

    report = late.run(clip_inputs(str(shards), pytest.fail), overtake)
    assert (report.written, report.skipped, report.faults) == (0, 4, [])


def test_vectors_that_are_no_numbers_are_told_and_not_written(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = VGGish((2, 2, 2, 2, 2, 2), (8, 8, 5)).state_dict()
    tensors["embeddings.2.bias"] += 100
    tensors["embeddings.4.weight"][:] = 3e38  # a finite number, and its products are none
    save_file(tensors, tmp_path / "large.safetensors")
    argv = run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(tmp_path / "large.safetensors"))
    assert main(argv) == 1
    assert "64 vectors hold nan or infinity, the first at frame 1" in capsys.readouterr().err
    assert not (tmp_path / "tracks").exists()


def test_half_precision_takes_half_the_space(shards: Path, tmp_path: Path) -> None:
    weights = save_vit(tmp_path / "vit")
    argv = run_extract(shards, tmp_path, "--extractor", "vit", "--weights", str(weights), "--values", "float16")
    assert main(argv) == 0
    subject = TrackSubject(source="lab", video_id=LabelledShards([shards], StorageConfig()).clips()[0].video_id)
    half = TrackFolder(tmp_path / "tracks").read("vit", subject, width=24)
    assert half.vectors_ND.dtype == np.float16
    clip = ClipFootage(files=LabelledShards([shards], StorageConfig()).read(0))
    exact = load_extractor("vit", weights).extract(clip).vectors_RD
    assert half.vectors_ND == pytest.approx(exact, abs=2e-3)


def test_wrong_words_and_weights_are_one_sentence(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vit = save_vit(tmp_path / "vit")
    (vit / "config.json").unlink()
    hubert = save_hubert(tmp_path / "hubert")
    sizes = json.loads((hubert / "config.json").read_text())
    (hubert / "config.json").write_text(json.dumps(sizes | {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}))
    cases = [
        ("vitt", vit, "--extractor vitt: no such extractor; the extractors are vit, "),
        ("vit", tmp_path / "no", f"{tmp_path / 'no'}: no such file"),
        ("vit", vit, "a ViT of width 24 and depth 2 is none of ViT-B, L and H; name a folder whose config.json"),
        ("vit", save_vggish(tmp_path / "a.safetensors", True), "has no patch_embed.proj.weight and pos_embed"),
        ("vggish", vit, "has no features.0.weight, as VGGish has"),
        ("hubert", hubert, "conv_kernel and conv_stride must give a state for 400 samples every 320"),
        ("pdem_v3", save_pdem(tmp_path / "v1", "pdem_v1"), "the file's tensors are not those of the model"),
        ("saved_model", vit, "holds no saved model and no finished run"),
    ]
    for name, weights, message in cases:
        assert main(run_extract(shards, tmp_path, "--extractor", name, "--weights", str(weights))) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    assert main(["tracks", str(tmp_path / "no")]) == 2
    with pytest.raises(UserError, match="no such extractor"):
        load_extractor("x", vit)


@pytest.mark.slow
def test_people_of_raw_videos_have_tracks_and_a_video_without_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    shots = (ShotScript(frames=50, speakers=(501, 502), seed=4, face_px=140),)
    (videos / "two.mp4").write_bytes(encode_video(VideoScript(shots=shots)))
    (videos / "wall.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=()),))))
    weights = save_vit(tmp_path / "vit")
    argv = ["extract", str(videos), "--extractor", "vit", "--weights", str(weights), "--out", str(tmp_path / "tracks")]
    argv += ["--keep-clips", str(tmp_path / "clips")]
    for count in ("2 tracks written (100 vectors), 0", "0 tracks written (0 vectors), 2"):
        assert main(argv) == 1
        printed = capsys.readouterr()
        assert count in printed.out
        assert "1 input without a track" in printed.out
        assert len([line for line in printed.err.splitlines() if "wall.mp4: no clip can be cut from it" in line]) == 1
    files = TrackFolder(tmp_path / "tracks").files()
    assert [path.name for path in files] == ["two.mp4.parquet", "two.mp4@1.parquet"]
    assert [read_track(path).subject.person for path in files] == [0, 1]
