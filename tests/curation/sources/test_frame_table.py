"""A user's own labels of single frames: a CSV table for each video, named in the folder's labels.csv."""

from pathlib import Path

import pytest
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.schema.labels import Labels
from support.corpora import PLAN, labels_of, write_file

LABELS = "file,frame_labels,subject,set\nanna/1.mp4,anna/1.csv,anna,train\n"
CLASSES = "Neutral, Anger, Disgust, Fear, Happiness, Sadness, Surprise, Other"


def read_folder(root: Path) -> tuple[dict[str, Video], dict[str, str]]:
    """Return the inputs by name, and the reason for each file and row that is none."""
    skipped: list[SkippedInput] = []
    videos = {video.video_id: video for video in list_inputs("mine", root, PLAN, skipped)}
    return videos, {entry.path: entry.reason for entry in skipped}


def write_folder(root: Path, table: str | bytes, labels: str = LABELS) -> Path:
    """Write a folder with one video, labels.csv and a table of frames."""
    write_file(root, "anna/1.mp4")
    write_file(root, "anna/1.csv", table)
    write_file(root, "labels.csv", labels)
    return root


def test_labels_of_frames_are_read_under_their_numbers(tmp_path: Path) -> None:
    rows = "frame,valence,arousal,Expression,au12,AU4\n7,.5,-1,Happiness,1,0\n5,-5,0.25,-1,1,\n6,0.5,,4,-1,1\n"
    videos, reasons = read_folder(write_folder(tmp_path, rows))
    assert reasons == {}
    labels = labels_of(videos["anna/1.mp4"])
    assert labels.subject == videos["anna/1.mp4"].speaker == "anna"
    assert labels.values == {f"{task}_set": "train" for task in ("valence_arousal", "expressions", "action_units")}
    frames = labels.to_json()["frames"]
    assert {task: (part["first_frame"], part["total"]) for task, part in frames.items()} == dict.fromkeys(
        ("valence_arousal", "expressions", "action_units"), (5, 3)
    )
    assert frames["valence_arousal"]["columns"] == {"valence": [None, 0.5, 0.5], "arousal": [0.25, None, -1]}
    assert frames["expressions"]["columns"] == {"expression": [None, 4, 4]}
    assert frames["expressions"]["classes"][4] == "Happiness"
    units = frames["action_units"]["columns"]
    assert (units["AU4"], units["AU12"], units["AU26"]) == ([None, 1, 0], [1, None, 1], [None] * 3)


def test_only_tasks_with_a_label_and_frames_with_a_row_are_there(tmp_path: Path) -> None:
    videos, reasons = read_folder(
        write_folder(tmp_path, b"\xef\xbb\xbfframe,valence,arousal,AU1\r\n1,0,0,\r\n\r\n4,1,1,\r\n")
    )
    labels = labels_of(videos["anna/1.mp4"])
    assert list(labels.frames) == ["valence_arousal"]
    assert labels.to_json()["frames"]["valence_arousal"]["columns"]["valence"] == [0, None, None, 1]
    assert reasons == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2,1.5,0,", "valence '1.5' of frame 2 is neither a number from -1 to 1 nor empty"),
        ("2,0,nan,", "arousal 'nan' of frame 2 is neither a number from -1 to 1 nor empty"),
        ("2,0,0,Joy", f"expression 'Joy' of frame 2 is neither {CLASSES} or a number from 0 to 7 nor empty"),
        ("2,0,0,2.5", f"expression '2.5' of frame 2 is neither {CLASSES} or a number from 0 to 7 nor empty"),
        ("0,0,0,1", "'0' is no frame number from 1 to 1,000,000"),
        ("1000001,0,0,1", "'1000001' is no frame number from 1 to 1,000,000"),
        ("two,0,0,1", "'two' is no frame number from 1 to 1,000,000"),
        ("1,0,0,1", "frame 1 stands in line 2 before"),
        ("2,0,0,1,9", "has 5 cells, and the first line 4"),
    ],
)
def test_what_is_no_label_is_named_by_line_and_costs_only_itself(tmp_path: Path, row: str, reason: str) -> None:
    rows = f"frame,valence,arousal,expression\n1,0.5,0.5,1\n{row}\n3,-0.5,0.5,3\n"
    videos, reasons = read_folder(write_folder(tmp_path, rows))
    assert reasons == {"anna/1.csv:3": reason}
    valence = labels_of(videos["anna/1.mp4"]).frames["valence_arousal"].columns["valence"]
    assert (valence[0], valence[2]) == (0.5, -0.5)


@pytest.mark.parametrize(
    ("table", "where", "reason"),
    [
        ("", ":1", "the first line is 'empty', and must name `frame` and some of valence, arousal, expression, AU1"),
        ("valence,arousal\n0,0\n", ":1", "the first line is 'valence,arousal', and must name `frame`"),
        ("frame,joy\n1,1\n", ":1", "the first line is 'frame,joy', and must name `frame` and some of valence"),
        ("frame,AU1,au1\n1,1,0\n", ":1", "the first line names au1 twice"),
        ("frame,valence\n", "", "has no row with a label"),
        ("frame,valence\n1,-5\n", "", "has no row with a label"),
    ],
)
def test_a_table_without_labels_leaves_its_video_out(tmp_path: Path, table: str, where: str, reason: str) -> None:
    videos, reasons = read_folder(write_folder(tmp_path, table))
    assert videos == {}
    assert reasons[f"anna/1.csv{where}"].startswith(reason)
    assert reasons["labels.csv:2"] == "frame_labels of anna/1.mp4, anna/1.csv, is no table of frames"


def test_an_unknown_column_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    videos, reasons = read_folder(write_folder(tmp_path, "frame,valance,arousal\n1,0,1\n"))
    assert reasons["anna/1.csv:1"].startswith("the column 'valance' is not read; known are frame, valence, arousal")
    assert labels_of(videos["anna/1.mp4"]).frames["valence_arousal"].columns["arousal"][0] == 1


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    rows = "frame,valence,arousal\n1,0,0\n" + "".join(f"{frame},x,0\n" for frame in range(2, 40))
    _, reasons = read_folder(write_folder(tmp_path, rows))
    assert len(reasons) == 21
    assert reasons["anna/1.csv"] == "18 more rows that are no labels"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("file,frame_labels\nanna/1.mp4,anna/2.csv\n", "frame_labels of anna/1.mp4, anna/2.csv, is no table of frames"),
        ("file,frame_labels\nanna/1.mp4,../1.csv\n", "frame_labels of anna/1.mp4, ../1.csv, is not below the folder"),
        (
            "file,frame_labels\nanna/1.mp4,/etc/passwd\n",
            "frame_labels of anna/1.mp4, /etc/passwd, is not below the folder",
        ),
        (
            "file,frame_labels,set\nanna/1.mp4,anna/1.csv,tests\n",
            "set 'tests' of anna/1.mp4 is none of train, validation, test",
        ),
    ],
)
def test_a_row_that_names_no_table_or_no_set_is_named(tmp_path: Path, labels: str, reason: str) -> None:
    videos, reasons = read_folder(write_folder(tmp_path, "frame,AU1\n1,1\n", labels))
    assert videos == {}
    assert reasons["labels.csv:2"] == reason


def test_a_video_to_test_on_needs_no_labels(tmp_path: Path) -> None:
    labels = "file,frame_labels,set\nanna/1.mp4,anna/1.csv,train\nben/1.mp4,,test\ncleo/1.mp4,,\n"
    root = write_folder(tmp_path, "frame,AU1\n1,1\n", labels)
    write_file(root, "ben/1.mp4")
    write_file(root, "cleo/1.mp4")
    videos, reasons = read_folder(root)
    assert reasons == {}
    tested = {"valence_arousal_set": "test", "expressions_set": "test", "action_units_set": "test"}
    assert labels_of(videos["ben/1.mp4"]) == Labels(values=tested)
    assert labels_of(videos["cleo/1.mp4"]) == Labels(values={})


def test_a_label_named_set_stays_one_where_no_frames_are_labelled(tmp_path: Path) -> None:
    write_folder(tmp_path, "frame,AU1\n1,1\n", "file,set\nanna/1.mp4,B\n")
    videos, _ = read_folder(tmp_path)
    assert labels_of(videos["anna/1.mp4"]).values == {"set": "B"}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("validation", "with the set train, and here with validation; line 2 counts"),
        ("", "with the set train, and here with an empty one; line 2 counts"),
        ("Train", "in labels.csv:2; line 2 counts"),
    ],
)
def test_a_video_that_two_rows_name_is_told_with_both_sets(tmp_path: Path, second: str, reason: str) -> None:
    rows = f"{LABELS}anna/1.mp4,anna/1.csv,anna,{second}\n"
    videos, reasons = read_folder(write_folder(tmp_path, "frame,valence,arousal\n1,0,0\n", rows))
    assert labels_of(videos["anna/1.mp4"]).values["valence_arousal_set"] == "train"
    assert list(reasons) == ["labels.csv:3"]
    assert reasons["labels.csv:3"].startswith("anna/1.mp4 was listed before, in labels.csv:2")
    assert reasons["labels.csv:3"].endswith(reason)


def test_a_row_that_does_not_count_names_its_table_of_frames(tmp_path: Path) -> None:
    rows = f"{LABELS}anna/1.mp4,anna/2.csv,anna,validation\n"
    root = write_folder(tmp_path, "frame,valence,arousal\n1,0,0\n", rows)
    write_file(root, "anna/2.csv", "frame,valence,arousal\n1,1,1\n")
    videos, reasons = read_folder(root)
    assert labels_of(videos["anna/1.mp4"]).frames["valence_arousal"].columns["valence"][0] == 0
    assert reasons["labels.csv:3"].endswith("; line 2 counts, and anna/2.csv is not read")


def test_a_row_is_named_by_its_line_beside_blank_lines_and_cells_of_several_lines(tmp_path: Path) -> None:
    rows = 'file,mood,fold\n\nanna/1.mp4,"calm,\nthen not",1\n./gone.mp4,calm,1\nben/1.mp4,calm,²\n'
    write_file(tmp_path, "anna/1.mp4")
    write_file(tmp_path, "ben/1.mp4")
    write_file(tmp_path, "labels.csv", rows)
    videos, reasons = read_folder(tmp_path)
    assert labels_of(videos["anna/1.mp4"]).values == {"mood": "calm,\nthen not"}
    assert reasons == {
        "labels.csv:5": "no such file: gone.mp4",
        "labels.csv:6": "fold '²' of ben/1.mp4 is no number",
    }
