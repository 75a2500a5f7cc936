"""A person or media file in two sets is told for each pair of sets, by every training on frames."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from avf_training.framewise.labels.label_track import LabelTrack, write_label_track
from avf_training.framewise.labels.shared_people import names_in, warn_of_shared
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracksReader
from avf_training.framewise.training.labelled_videos import read_labelled_videos
from support.planted_tracks import make_planted_labels, write_planted_track

PAIRS = ("training and in validation", "training and in test", "validation and in test")
Names = Sequence[str | None]
SETS = {"a": "train", "b": "validation", "c": "test"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for video in SETS:
        write_planted_track(tmp_path / "tracks", "looks", video, frames=60)
    return tmp_path


def read(
    folder: Path, persons: Sequence[str | None], groups: Sequence[str], train_on: str = "train"
) -> list[LabelTrack]:
    tracks = []
    for (video, split), person, group in zip(SETS.items(), persons, groups, strict=True):
        labels = make_planted_labels("va", video, split, frames=60)  # type: ignore[arg-type]  # one of the sets
        tracks.append(replace(labels, person=person, group=group))
        write_label_track(folder / "labels", tracks[-1])
    recipe = FrameRecipe(model="temporal_v5", visual=("looks",), train_on="all" if train_on == "all" else "train")
    reader = JoinedTracksReader(folder / "tracks", ("looks",), ())
    read_labelled_videos(folder / "labels", find_task("va"), recipe, reader)
    return tracks


@pytest.mark.parametrize(
    ("persons", "groups", "expected"),
    [
        ((None, None, None), ("a", "b", "c"), []),
        (("p", "p", None), ("a", "b", "c"), ["training and in validation"]),
        (("p", None, "p"), ("a", "b", "c"), ["training and in test"]),
        ((None, None, None), ("a", "film", "film"), ["validation and in test"]),
        (
            ("p", "p", "p"),
            ("a", "b", "c"),
            list(PAIRS),
        ),
    ],
)
def test_train_frames_tells_of_every_pair_of_sets(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    persons: Sequence[str | None],
    groups: Sequence[str],
    expected: list[str],
) -> None:
    read(folder, persons, groups)
    messages = [
        record.getMessage()
        for record in caplog.records
        if "in training" in record.getMessage() or "in validation and" in record.getMessage()
    ]
    assert len(messages) == len(expected)
    for message, pair in zip(messages, expected, strict=True):
        assert message.startswith("1 person or media file in "), message
        assert pair in message
        assert f"lab/{'film' if 'film' in groups else 'p'}" in message


def test_validation_that_is_trained_on_is_one_set_with_training(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(folder, ("p", "p", "p"), ("a", "b", "c"), train_on="all")
    assert "in training and in validation" not in caplog.text
    assert "1 person or media file in training and in test: lab/p" in caplog.text


def test_the_same_name_in_two_corpora_is_two_people_and_many_are_counted() -> None:
    labels = make_planted_labels("va", "a", "train")
    other = replace(labels, subject=replace(labels.subject, source="elsewhere"))
    assert not names_in([labels]) & names_in([other])
    (sentence,) = warn_of_shared({"training": {str(n) for n in range(9)}, "test": {str(n) for n in range(8)}})
    assert sentence == "8 persons or media files in training and in test: 0, 1, 2, 3, 4 and 3 more"
