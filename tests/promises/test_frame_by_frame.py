"""From drawn people to predictions of every frame, in miniature: each command takes what the one before it wrote."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from avf_curation.demo.demo import frames_demo, run_demo
from avf_curation.demo.frame_corpus import FrameCorpus
from avf_shards.schema.versions import read_json
from avf_training.cli.main import main as train
from avf_training.framewise.labels.label_track import list_label_tracks
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.predictions.prediction_set import read_prediction_set
from avf_training.framewise.predictions.truth_join import join_video, read_labels
from avf_training.framewise.tracks.track_folder import TrackFolder

SMALL = FrameCorpus(
    filmed={"train": 2, "validation": 1, "test": 1}, frames=90, pictured={"train": 2, "validation": 1}, pictures=4
)

PLAN = """\
schema: avf-foundry frame ensemble plan
schema_version: 1
task: va
name: together
members: [{name: both}, {name: face}, {name: sound}]
method: {kind: dirichlet, matrices: 20}
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated and packed corpus of four videos of 3.6 s, longer than one face lasts."""
    out = tmp_path_factory.mktemp("frames")
    assert run_demo(out, "inline", 1, frames_demo(SMALL)) == 0
    return out


def test_every_frame_of_a_video_has_its_own_label_and_sound(demo: Path, tmp_path: Path) -> None:
    labels, tracks = tmp_path / "labels", tmp_path / "tracks"
    assert train(["frame-labels", str(demo / "shards"), "--out", str(labels)]) == 0
    assert train(["extract", str(demo / "shards"), "--extractor", "log_mel", "--out", str(tracks)]) == 0
    splits = [track.split for track in list_label_tracks(labels, "va")]
    assert sorted(splits, key=str) == ["test", "train", "train", "validation"]
    for track in list_label_tracks(labels, "va"):
        with (demo / "corpus/videos" / track.subject.video_id).with_suffix(".csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert track.frames_N.tolist() == [int(row["frame"]) for row in rows]
        truth = np.array([[float(row["valence"]), float(row["arousal"])] for row in rows])
        np.testing.assert_allclose(track.values_NK, truth, atol=1e-6)
        assert (track.person, track.fps) == (track.subject.video_id.partition("/")[0], 25)
        sound = TrackFolder(tracks).read("log_mel", track.subject, width=64)
        assert sound.frames_N.tolist() == track.frames_N.tolist()


@pytest.mark.slow
def test_from_pictures_and_videos_to_an_ensemble_on_people_never_seen(demo: Path, tmp_path: Path) -> None:
    """What the sequence models learn in a few steps is nothing; docs/benchmarks.md has what they learn in minutes."""
    labels, tracks, predictions = tmp_path / "labels", tmp_path / "tracks", tmp_path / "predictions"
    shards, pictures = str(demo / "shards"), str(demo / "pictures")
    run(["frame-labels", shards, "--out", labels])
    run(["pretrain-images", pictures, "--recipe", "image_mae_tiny", *sets("steps=2", "batch=4", "micro_batch=4"),
         "--out", tmp_path / "mae"])  # fmt: skip
    run(["finetune-images", pictures, "--task", "au", "--model", tmp_path / "mae", "--recipe", "image_features_tiny",
         *sets("epochs=1", "batch=4", "micro_batch=4"), "--out", tmp_path / "extractor"])  # fmt: skip
    run(["extract", shards, "--extractor", "vit", "--weights", tmp_path / "extractor", "--out", tracks])
    run(["extract", shards, "--extractor", "log_mel", "--out", tracks])
    for name, recipe, visual, audio in (
        ("both", "netease_fusion", "[vit]", "[log_mel]"),
        ("face", "sun_temporal", "[vit]", "[]"),
        ("sound", "sun_temporal", "[log_mel]", "[]"),
    ):
        settings = sets(f"visual={visual}", f"audio={audio}", "epochs=2", "window=10")
        run(["train-frames", "--tracks", tracks, "--labels", labels, "--task", "va", "--recipe", recipe, *settings,
             "--out", tmp_path / name])  # fmt: skip
        run(["predict-frames", tmp_path / name, "--tracks", tracks, "--out", predictions, "--name", name])
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, "utf-8")
    run(["ensemble-frames", plan, "--predictions", predictions, "--labels", labels, "--out", predictions])
    run(["report-frames", "--task", "va", "--predictions", predictions, "--name", "together", "--labels", labels,
         "--out", tmp_path / "report"])  # fmt: skip
    report = read_json(tmp_path / "report/va.json", "frame report")
    for table in ("models", "test_models"):
        assert [(model["name"], model["videos"], model["frames"]) for model in report[table]] == [
            (name, 1, SMALL.frames) for name in ("together", "both", "face", "sound")
        ]
    assert (tmp_path / "report/va.html").is_file()
    task = find_task("va")
    for name in ("both", "face", "sound", "together"):
        predicted = read_prediction_set(predictions, name, task)
        for subject, truth in read_labels(labels, task).items():
            joined = join_video(truth, predicted.tracks[subject])
            assert (joined.own, joined.repeated) == (SMALL.frames, 0), "every frame has a prediction of its own"
            assert np.isfinite(joined.likelihoods_ND).all()


def run(words: Sequence[str | Path]) -> None:
    """Run a command of avf-train that must succeed."""
    argv = list(map(str, words))
    assert train(argv) == 0, argv


def sets(*settings: str) -> list[str]:
    """Return settings as words of a command line."""
    return [word for setting in settings for word in ("--set", setting)]
