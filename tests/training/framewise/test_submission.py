"""A submission fills every row of the official list, says what it repeated, and is refused where it is wrong."""

from pathlib import Path

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.framewise.submission import (
    HEADERS,
    ChallengeTask,
    ImageLocation,
    fill_rows,
    read_image_list,
    read_submission,
    write_submission,
)
from hypothesis import given
from hypothesis import strategies as st

VALUES = {"valence_arousal": [0.5, -0.25], "expressions": [4], "action_units": [0, 1] * 6}


def write_list(folder: Path, task: ChallengeTask, rows: list[str]) -> Path:
    sample = folder / "sample.txt"
    sample.write_text("\n".join([HEADERS[task], *rows]) + "\n")
    return sample


@pytest.mark.parametrize("task", HEADERS)
def test_every_row_of_the_list_is_filled_in_its_order(tmp_path: Path, task: str) -> None:
    rows = ["1/00002.jpg,", "10/00001.jpg,", "1/00001.jpg,", "10-60-1280x720_right/00001.jpg,"]
    sample = write_list(tmp_path, task, rows)
    values = np.array(VALUES[task], float)
    predictions = {"1": {1: values, 2: values}, "10": {1: values}, "10-60-1280x720_right": {1: values}}
    statements = write_submission(tmp_path / "out.txt", sample, predictions)
    read_task, submitted = read_submission(tmp_path / "out.txt")
    assert read_task == task
    assert [f"{image}," for image in submitted] == rows
    assert all((each == values).all() for each in submitted.values())
    assert str(statements[0]) == "1: 2 rows, each with a prediction of its own"


def test_a_video_of_an_own_folder_is_named_by_its_path(tmp_path: Path) -> None:
    sample = write_list(tmp_path, "expressions", ["anna/talk.mp4/00001.jpg,", "ben/talk.mp4/00001.jpg,"])
    predictions = {"anna/talk.mp4": {1: np.array([3.0])}, "ben/talk.mp4": {1: np.array([4.0])}}
    write_submission(tmp_path / "out.txt", sample, predictions)
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[1:] == ["anna/talk.mp4/00001.jpg,3", "ben/talk.mp4/00001.jpg,4"]


def test_what_was_repeated_and_cut_is_told() -> None:
    images = [ImageLocation(video="v", frame=frame) for frame in range(1, 8)]
    known = {frame: np.array([frame / 10, 0.0]) for frame in (2, 3, 5, 9)}
    rows, (statement,) = fill_rows(images, {"v": known, "unasked": {1: np.zeros(2)}})
    assert [row[0] for row in rows] == [0.2, 0.2, 0.3, 0.3, 0.5, 0.5, 0.5]
    assert (statement.repeated_inside, statement.repeated_end, statement.cut) == (4, 0, 1)
    _, (shorter,) = fill_rows(images, {"v": {frame: np.zeros(2) for frame in (1, 2, 3, 4, 5)}})
    assert str(shorter) == "v: 7 rows, 2 repeated at the end"


@given(asked=st.sets(st.integers(1, 60), min_size=1), known=st.sets(st.integers(1, 60), min_size=1))
def test_each_row_has_the_nearest_earlier_prediction(asked: set[int], known: set[int]) -> None:
    images = [ImageLocation(video="v", frame=frame) for frame in sorted(asked)]
    rows, (statement,) = fill_rows(images, {"v": {frame: np.array([frame]) for frame in known}})
    for image, row in zip(images, rows, strict=True):
        earlier = [frame for frame in known if frame <= image.frame]
        assert row[0] == (max(earlier) if earlier else min(known))
    assert statement.repeated_inside + statement.repeated_end == len(asked - known)
    assert statement.cut == len(known - asked)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, r"video v: 2 rows of the official list and no prediction"),
        ({"v": {}}, r"video v: 2 rows of the official list and no prediction"),
        ({"v": {1: [np.nan, 0]}}, r"v, frame 1: prediction \[nan, 0.0\] is not a number"),
        ({"v": {1: [1.5, 0]}}, r"v/00001.jpg: \[1.5, 0.0\] lie beyond -1 to 1"),
        ({"v": {1: [0.5]}}, r"v/00001.jpg: 1 values; valence_arousal has 2"),
    ],
)
def test_predictions_that_cannot_be_submitted_are_refused_and_nothing_is_written(
    tmp_path: Path, predictions: dict[str, dict[int, list[float]]], message: str
) -> None:
    sample = write_list(tmp_path, "valence_arousal", ["v/00001.jpg,", "v/00002.jpg,"])
    arrays = {
        video: {frame: np.array(row, float) for frame, row in rows.items()} for video, rows in predictions.items()
    }
    with pytest.raises(UserError, match=message):
        write_submission(tmp_path / "out.txt", sample, arrays)
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(("task", "value"), [("expressions", 8), ("expressions", 1.5), ("expressions", -1)])
def test_a_class_that_does_not_exist_is_refused(tmp_path: Path, task: str, value: float) -> None:
    sample = write_list(tmp_path, task, ["v/00001.jpg,"])
    with pytest.raises(UserError, match="whole numbers from 0 to 7"):
        write_submission(tmp_path / "out.txt", sample, {"v": {1: np.array([value])}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image_location,joy\n", "line 1: 'image_location,joy' is the header of no task"),
        ("image_location,valence,arousal\n", "has no row but the header"),
        ("image_location,valence,arousal\nv/1.jpg,\n", "line 2: 'v/1.jpg' is no picture; it would be VIDEO/00001.jpg"),
        ("image_location,valence,arousal\nv/00000.jpg,\n", "line 2: 'v/00000.jpg' is no picture"),
        ("image_location,valence,arousal\n/00001.jpg,\n", "line 2: '/00001.jpg' is no picture"),
        ("image_location,valence,arousal\nv/00001.jpg,\nv/00001.jpg,\n", "line 3: v/00001.jpg stands in line 2 too"),
    ],
)
def test_a_wrong_list_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sample.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_image_list(tmp_path / "sample.txt")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v/00001.jpg,0.1", "line 2: 1 values; valence_arousal has 2"),
        ("v/00001.jpg,0.1,high", "line 2: '0.1,high' are not numbers"),
        ("v/00001.jpg,0.1,nan", r"line 2: \[0.1, nan\] are not numbers"),
        ("v/00001.jpg,0.1,-5", r"line 2: \[0.1, -5.0\] lie beyond -1 to 1"),
        ("v/00001.jpg,0.1,0.2\nv/00001.jpg,0.1,0.2", "line 3: v/00001.jpg again"),
    ],
)
def test_a_wrong_row_of_a_submission_is_told_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "out.txt").write_text(f"{HEADERS['valence_arousal']}\n{row}\n")
    with pytest.raises(UserError, match=message):
        read_submission(tmp_path / "out.txt")


def test_files_that_are_missing_or_no_text_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_image_list(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "binary.txt", tmp_path):
        with pytest.raises(UserError, match="not a file of text in UTF-8"):
            read_submission(path)


def test_a_file_that_is_no_submission_is_left(tmp_path: Path) -> None:
    sample = write_list(tmp_path, "expressions", ["1/00001.jpg,"])
    out, other = tmp_path / "out.txt", tmp_path / "notes.txt"
    other.write_text("notes\n")
    predictions = {"1": {1: np.array([4.0])}}
    with pytest.raises(UserError, match=r"notes\.txt: is there already and is not a submission"):
        write_submission(other, sample, predictions)
    with pytest.raises(UserError, match=r"sample\.txt: is the official list itself"):
        write_submission(sample, sample, predictions)
    for text in (f"{HEADERS['valence_arousal']}\n1/00001.jpg,\n", f"{HEADERS['expressions']}\n1/00001.jpg,\n"):
        out.write_text(text)
        with pytest.raises(UserError, match=r"out\.txt: is there already and is not a submission"):
            write_submission(out, sample, predictions)
        assert out.read_text() == text, "another official list is left"
    out.unlink()
    assert other.read_text() == "notes\n"
    assert sample.read_text().endswith("1/00001.jpg,\n")
    write_submission(out, sample, predictions)
    write_submission(out, sample, {"1": {1: np.array([2.0])}})
    assert out.read_text().endswith("1/00001.jpg,2\n"), "an earlier submission is replaced"
