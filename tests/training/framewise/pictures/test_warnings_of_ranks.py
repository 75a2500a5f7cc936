"""Of what all ranks of torchrun see alike, rank 0 alone writes warnings."""

import logging
from pathlib import Path

import numpy as np
import pytest
from avf_training.data.storage import StorageConfig
from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.labels.label_track import LabelTrack, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.pictures.frame_folders import read_labelled_frames
from avf_training.framewise.pictures.labelled import LabelledPictures
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.pictures.split import split_pictures
from avf_training.framewise.tracks.identity import TrackSubject
from support.damaged_pictures import encode_picture
from support.drawn_pictures import disc_picture
from support.picture_shards import write_picture_shards

VA = find_task("va")


def write_inputs(folder: Path) -> None:
    """Write pictures of one person in three sets, and a folder of frames beside labels of two videos."""
    labels = {"valence": "0.5", "arousal": "0.1"}
    subsets = ("train", "validation", "test", "train")
    pictures = [
        disc_picture(number, labels=labels, person="anna" if number < 3 else "ben", subset=subset)  # type: ignore[arg-type]  # names of sets in a loop
        for number, subset in enumerate(subsets)
    ]
    write_picture_shards(folder / "shards", pictures)
    (folder / "frames/one").mkdir(parents=True)
    for name in ("00001", "portrait"):
        (folder / f"frames/one/{name}.jpg").write_bytes(encode_picture("JPEG"))
    for video in ("one", "two"):
        track = LabelTrack(
            subject=TrackSubject(source="wild", video_id=video),
            task=VA,
            split="train",
            group=video,
            person=None,
            scene=None,
            fps=30.0,
            frames_N=np.array([1]),
            times_s_N=np.zeros(1),
            values_NK=np.zeros((1, 2), np.float32),
        )
        write_label_track(folder / "labels", track)


@pytest.mark.parametrize(("rank", "warnings"), [(0, 4), (1, 0)])
def test_warnings_of_pictures_come_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: int, warnings: int
) -> None:
    write_inputs(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    shards = read_labelled_shards([tmp_path / "shards"], VA, StorageConfig())
    frames = read_labelled_frames(tmp_path / "frames", tmp_path / "labels", VA)
    split_pictures(LabelledPictures.join([shards, *frames]), 0.2)
    assert len(caplog.messages) == warnings, caplog.messages


def test_a_logger_of_rank_0_writes_what_is_asked_where_no_rank_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = log_of_rank_0("avf_training.of_this_test")
    assert log is logging.getLogger("avf_training.of_this_test")
    monkeypatch.delenv("RANK", raising=False)
    log.warning("alone")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    log.warning("fourth")
    assert caplog.messages == ["alone"]
