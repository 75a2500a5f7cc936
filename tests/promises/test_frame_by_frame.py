"""From drawn people to predictions of every frame, in miniature: each command takes what the one before it wrote."""

import csv
from pathlib import Path

import numpy as np
import pytest
from avf_curation.demo.demo import frames_demo, run_demo
from avf_curation.demo.frame_corpus import FrameCorpus
from avf_training.cli.main import main as train
from avf_training.framewise.labels.label_track import list_label_tracks
from avf_training.framewise.tracks.track_folder import TrackFolder

SMALL = FrameCorpus(
    filmed={"train": 2, "validation": 1, "test": 1}, frames=60, pictured={"train": 2, "validation": 1}, pictures=4
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated and packed corpus of four videos of 2.4 s."""
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
