"""`avf-train frame-labels` reads shards, Aff-Wild2's annotations and tables, and names bad labels by file and line."""

from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.source_clock import SourceClock
from avf_curation.sources.types import Video
from avf_shards.schema.frame_labels import FrameLabels, SourceFrames
from avf_training.cli.main import main
from avf_training.framewise.labels.annotation_folder import TASK_FOLDERS
from avf_training.framewise.labels.label_track import LabelTrack, list_label_tracks
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.source_frames import measure_fps, rows_of_source_frames
from avf_training.framewise.tracks.track_folder import TrackFolder
from support.labelled import curate_labelled_clip, make_labelled_shards
from support.tiny_extractors import save_vggish

VA_HEADER, EXPR_HEADER = "valence,arousal", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
AU_HEADER = ",".join(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))


def write_lines(path: Path, *lines: str) -> None:
    """Write a text file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def make_annotations(folder: Path) -> Path:
    """Annotations of three tasks in the challenge's layout."""
    tasks = folder / "6th_ABAW_Annotations"
    train = "VA_Estimation_Challenge/Train_Set"
    write_lines(tasks / train / "1.txt", VA_HEADER, "0.5,-0.25", "-5,-5", "0.1,-5")
    write_lines(tasks / train / "10-60-1280x720_right.txt", VA_HEADER, "0,1")
    write_lines(tasks / "VA_Estimation_Challenge/Validation_Set/10-60-1280x720.txt", VA_HEADER, "1,1")
    write_lines(tasks / "EXPR_Classification_Challenge/Train_Set/1.txt", EXPR_HEADER, "4", "-1", "7")
    write_lines(tasks / "AU_Detection_Challenge/Validation_Set/1.txt", AU_HEADER, "0,1" + ",0" * 10, "-1" + ",-1" * 11)
    lists = folder / "names_of_videos_in_each_test_set"
    write_lines(lists / "Valence_Arousal_Estimation_Challenge_test_set_release.txt", "video5_left")
    return folder


def run_labels(tmp_path: Path, source: Path, *words: str) -> int:
    return main(["frame-labels", str(source), "--out", str(tmp_path / "labels"), *words])


def read_labels(tmp_path: Path, task: str) -> dict[str, LabelTrack]:
    """Label tracks by the name of their video."""
    return {track.subject.video_id: track for track in list_label_tracks(tmp_path / "labels", task)}


def test_the_annotations_of_three_tasks_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "fps.csv", "video,fps", "1,6.0", "10-60-1280x720,29.97", "10-60-1280x720_right,29.97")
    assert run_labels(tmp_path, make_annotations(tmp_path / "aff"), "--fps", str(tmp_path / "fps.csv")) == 0
    printed = capsys.readouterr().out
    assert "va   train       2 videos, 4 frames, 2 of them with valid labels" in printed
    assert "no frame of Neutral, Anger, Disgust, Fear, Sadness, Surprise in the set train" in printed
    valence = read_labels(tmp_path, "va")
    assert set(valence) == {"1", "10-60-1280x720", "10-60-1280x720_right"}, "names that hold each other stay apart"
    assert valence["10-60-1280x720_right"].group == valence["10-60-1280x720"].group == "10-60-1280x720"
    assert valence["1"].fps == 6
    assert valence["1"].frames_N.tolist() == [1, 2, 3]
    assert valence["1"].times_s_N == pytest.approx([0, 1 / 6, 2 / 6])
    assert valence["1"].is_valid.tolist() == [True, False, False], "a frame with -5 in arousal alone does not count"
    assert valence["10-60-1280x720"].split == "validation"
    assert read_labels(tmp_path, "expr")["1"].values_NK[[0, 2], 0].tolist() == [4, 7]
    units = read_labels(tmp_path, "au")["1"]
    assert units.values_NK[0].tolist() == [0, 1, *[0] * 10]
    assert not units.is_valid[1]
    before = {path: path.read_bytes() for path in (tmp_path / "labels").rglob("*.parquet")}
    assert run_labels(tmp_path, tmp_path / "aff", "--fps", str(tmp_path / "fps.csv")) == 0, "the same once more"
    assert {path: path.read_bytes() for path in (tmp_path / "labels").rglob("*.parquet")} == before


def test_bad_annotations_are_named_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_annotations(tmp_path / "aff")
    tasks = folder / "6th_ABAW_Annotations"
    write_lines(
        tasks / "VA_Estimation_Challenge/Train_Set/bad.txt", VA_HEADER, "0,0", "x,0", "2,0", "0", ",0", "0.5,0.5"
    )
    write_lines(tasks / "VA_Estimation_Challenge/Train_Set/other.txt", EXPR_HEADER, "0")
    write_lines(tasks / "VA_Estimation_Challenge/Train_Set/empty.txt", VA_HEADER)
    write_lines(tasks / "VA_Estimation_Challenge/Validation_Set/1.txt", VA_HEADER, "0.5,-0.25")
    write_lines(tasks / "EXPR_Classification_Challenge/Train_Set/bad.txt", EXPR_HEADER, "8", "1.5", "3")
    write_lines(tasks / "EXPR_Recognition_Challenge/Train_Set/bad.txt", EXPR_HEADER, "1")
    lists = folder / "names_of_videos_in_each_test_set/Valence_Arousal_Estimation_Challenge_test_set_release.txt"
    write_lines(lists, "video5_left", "10-60-1280x720")
    assert run_labels(tmp_path, folder, "--fps", "30") == 1
    errors = capsys.readouterr().err
    for message in (
        "bad.txt: line 3: valence 'x' is no number; frame 2 has no label",
        "bad.txt: line 4: valence 2 is neither -5 nor from -1 to 1; frame 3 has no label",
        "bad.txt: line 5: '0' is not 2 numbers",
        "bad.txt: line 6: ',0' lacks a number",
        "other.txt: line 1: is 'Neutral,Anger",
        "empty.txt: has no label below its first line",
        "Validation_Set/1.txt: 1 is in the set validation of va, and in train by",
        "EXPR_Classification_Challenge/Train_Set/bad.txt: bad is in the set train of expr, and there by",
        "EXPR_Recognition_Challenge/Train_Set/bad.txt; it counts for train, as this file has it",
        "release.txt: line 2: 10-60-1280x720 is in the set test of va, and in validation by",
        "bad.txt: line 2: expression 8 is neither -1 nor from 0 to 7",
        "bad.txt: line 3: expression 1.5 is neither",
    ):
        assert message in errors, message
    valence = read_labels(tmp_path, "va")
    assert valence["bad"].is_valid.tolist() == [True, False, False, False, False, True], "what is right is there"
    assert valence["1"].split == "validation"
    assert valence["10-60-1280x720"].split == "test"
    assert "other" not in valence


def test_a_video_without_any_valid_label_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "6th_ABAW_Annotations/VA_Estimation_Challenge/Train_Set/1.txt", VA_HEADER, "-5,-5", "-5,0")
    assert run_labels(tmp_path, tmp_path, "--fps", "30") == 0
    assert "1 video, 2 frames, 0 of them with valid labels" in capsys.readouterr().out
    assert not read_labels(tmp_path, "va")["1"].is_valid.any()


def test_a_frame_that_is_no_number_of_a_frame_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(
        tmp_path / "a.csv", "frame,time_s,valence,arousal", "999999999,,0,0", "1e3,,0,0", ",x,0,0", ",,0,0", "7,,0,0"
    )
    assert run_labels(tmp_path, tmp_path / "a.csv", "--fps", "25") == 1
    errors = capsys.readouterr().err
    assert "line 2: frame 999999999 is not from 1 to 100000000" in errors
    assert "line 3: frame '1e3' is no whole number" in errors
    assert "line 4: time_s 'x' is no number" in errors
    assert "line 5: names no frame" in errors
    assert read_labels(tmp_path, "va")["a"].frames_N.tolist() == [7]


def test_tables_of_ones_own_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(
        tmp_path / "tables/anna.csv",
        "time_s,valence,arousal,expression,split,person",
        "0,0.5,0.25,Happiness,train,anna",
        "0.04,,0.25,6,,",
        "0.05,0.1,0.1,-1,,",
    )
    write_lines(tmp_path / "tables/more.csv", "video,frame,AU12,scene", "ben,3,1,reaction", "ben,9,0,reaction")
    assert run_labels(tmp_path, tmp_path / "tables", "--source", "mine", "--fps", "25") == 1
    assert "anna.csv: line 4: frame 2 of anna has an earlier row" in capsys.readouterr().err
    anna = read_labels(tmp_path, "va")["anna"]
    assert (anna.subject.source, anna.split, anna.person, anna.group) == ("mine", "train", "anna", "anna")
    assert anna.frames_N.tolist() == [1, 2]
    assert anna.is_valid.tolist() == [True, False]
    assert read_labels(tmp_path, "expr")["anna"].values_NK[:, 0].tolist() == [4, 6]
    ben = read_labels(tmp_path, "au")["ben"]
    assert (ben.split, ben.scene, ben.frames_N.tolist()) == (None, "reaction", [3, 9])
    assert np.isnan(ben.values_NK).sum() == 22, "action units that nobody coded are not valid"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["frame,valence,arousal", "1,0,x"], "line 2: arousal 'x' is no number: frame 1 has no such label"),
        (["frame,expression", "1,Joy"], "line 2: expression 'Joy' is neither a number nor one of Neutral, Anger"),
        (["frame,valence,arousal", "zero,0,0"], "line 2: frame 'zero' is no whole number"),
        (["frame,valence,arousal", "0,0,0"], "line 2: frame 0 is not from 1 to 100000000"),
        (["frame,AU1,split", "1,1,dev"], "line 2: split 'dev' is none of train, validation, test"),
        (["frame,AU1,split", "1,1,train", "2,1,test"], "line 3: t has the split test, and train from"),
        (["video,frame,AU1", "a,1,1", " ,2,1"], "line 3: video is empty; name the video, or leave the column out"),
        (["valence,arousal", "0,0"], "line 1: has neither a column frame nor time_s"),
        (["frame,anger", "1,0"], "line 1: has no column of labels; these are valence, arousal, expression, AU1"),
    ],
)
def test_bad_rows_are_named_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], message: str
) -> None:
    write_lines(tmp_path / "t.csv", *lines)
    assert run_labels(tmp_path, tmp_path / "t.csv", "--fps", "25") != 0
    assert f"t.csv: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "messages"),
    [
        (["frame,AU1,set", "1,1,train"], ["line 1: the column set is not read; call it split, with the sets train, "]),
        (["frame,valence,arousal", "1,0,0", "2,0"], ["line 3: has 2 cells, and line 1 names 3 columns"]),
        (
            ["frame,valence,arousal", "1,0,0,5", "2,0,0", "", "3,0,0,"],
            ["line 2: has 4 cells, and line 1 names 3 columns", "line 5: has 4 cells"],
        ),
        (["frame,valence,arousal,valence", "1,0,0,1"], ["line 1: has two columns named valence; remove one"]),
        (["frame,AU1,,", "1,1,,"], ["line 1: has two columns without a name"]),
        (["frame,valence,arousal"], [" has no row below its first line"]),
        ([], [" is empty; its first line must name the columns"]),
        (["frame,AU1", '1,"1" 2'], [" not a CSV file ("]),
    ],
)
def test_a_table_that_is_none_is_refused_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], messages: list[str]
) -> None:
    """A cell too few or too many moves values into other columns."""
    write_lines(tmp_path / "t.csv", *lines)
    if not lines:
        (tmp_path / "t.csv").write_text("")
    assert run_labels(tmp_path, tmp_path / "t.csv", "--fps", "25") == 2
    errors = capsys.readouterr().err
    for message in messages:
        assert f"t.csv: {message.lstrip()}" in errors
    assert not (tmp_path / "labels").exists()


def test_columns_that_are_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "t.csv", "frame,AU1,split,set,Note", "1,1,train,x,y")
    assert run_labels(tmp_path, tmp_path / "t.csv", "--fps", "25") == 0
    assert "t.csv: line 1: columns that are not read: 'set', 'Note'" in capsys.readouterr().err
    assert read_labels(tmp_path, "au")["t"].split == "train"


@pytest.mark.parametrize(
    ("option", "lines", "message"),
    [
        ("--fps", ["video,fps"], " has no row below its first line"),
        ("--fps", [""], " is empty; its first line must name the columns"),
        ("--fps", ["video,fps", "t,25", "u"], "line 3: has 1 cell, and line 1 names 2 columns"),
        ("--fps", ["video,fps,fps", "t,25,30"], "line 1: has two columns named fps"),
        ("--fps", ["video,rate", "t,25"], "line 1: no column fps; the columns are video, fps"),
        ("--fps", ["video,fps", ",25"], "line 2: names no video"),
        ("--scenes", ["video,scene"], " has no row below its first line"),
        ("--scenes", ["video,scene", "t,other,"], "line 2: has 3 cells, and line 1 names 2 columns"),
        ("--scenes", ["video,scene,scene", "t,other,reaction"], "line 1: has two columns named scene"),
    ],
)
def test_tables_beside_the_labels_are_refused_by_the_same_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, lines: list[str], message: str
) -> None:
    write_lines(tmp_path / "t.csv", "frame,valence,arousal", "1,0,0")
    write_lines(tmp_path / "beside.csv", *lines)
    rate = () if option == "--fps" else ("--fps", "25")
    assert run_labels(tmp_path, tmp_path / "t.csv", option, str(tmp_path / "beside.csv"), *rate) == 2
    assert f"beside.csv: {message.lstrip()}" in capsys.readouterr().err
    assert not (tmp_path / "labels").exists()


def test_input_without_a_label_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / f"names_of_videos_in_each_test_set/{TASK_FOLDERS['va'][0]}_test_set_release.txt", "1")
    (tmp_path / "6th_ABAW_Annotations" / TASK_FOLDERS["va"][0] / "Train_Set").mkdir(parents=True)
    assert run_labels(tmp_path, tmp_path, "--fps", "30") == 2
    assert ": holds no label of a frame" in capsys.readouterr().err


def test_what_is_no_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_labels(tmp_path, tmp_path / "none") == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert run_labels(tmp_path, make_annotations(tmp_path / "aff")) == 2
    assert "--fps is missing" in capsys.readouterr().err
    assert run_labels(tmp_path, make_annotations(tmp_path / "aff"), "--source", "no/name", "--fps", "30") == 2
    (tmp_path / "empty").mkdir()
    assert run_labels(tmp_path, tmp_path / "empty", "--fps", "30") == 2
    assert "holds no table" in capsys.readouterr().err


def curate_annotated_clip(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """A clip of 64 frames of a video of 30 frames a second with a label for each of its 78 frames, and two more."""
    outcomes = curate_labelled_clip(video, root, settings, tools)
    assert video.labels is not None
    count = 77
    values = array("d", [frame / 100 for frame in range(1, count + 3)])
    labels = FrameLabels(first_frame=1, columns={"valence": values, "arousal": values}, total=count + 2)
    times_s = np.arange(count) / 30
    entries = np.minimum(np.floor(np.arange(64) / 25 * 30 + 1e-9).astype(np.int64), count - 1)
    named = replace(video.labels, frames={"valence_arousal": labels}, values={"valence_arousal_set": "train"})
    clock = SourceClock(numbers_N=np.arange(1, count + 1), times_s_N=times_s, entries_T=entries)
    return replace(outcomes, video=replace(video, labels=named), source_clock=clock)


def test_labels_and_tracks_of_shards_number_frames_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"label": "left", "subject": "anna"}]
    shards = make_labelled_shards(tmp_path, {"lab": rows}, curate_annotated_clip)
    assert run_labels(tmp_path, shards) == 0, capsys.readouterr().err
    (labels,) = list_label_tracks(tmp_path / "labels", "va")
    assert (labels.split, labels.person, labels.fps) == ("train", "anna", 30.0)
    assert labels.frames_N.tolist() == list(range(1, 80)), "labels behind the last frame are not lost"
    assert labels.times_s_N == pytest.approx(np.arange(79) / 30, abs=1e-6)
    assert labels.values_NK[:, 0] == pytest.approx(np.arange(1, 80) / 100)
    weights = save_vggish(tmp_path / "v.safetensors", True)
    out = tmp_path / "tracks"
    assert main(["extract", str(shards), "--extractor", "vggish", "--weights", str(weights), "--out", str(out)]) == 0
    (path,) = TrackFolder(out).files()
    track = read_track(path, subject=labels.subject)
    assert track.fps == labels.fps
    assert track.frames_N.tolist() == list(range(1, 78)), "every frame of the source has a vector"
    assert track.times_s_N == pytest.approx(np.arange(77) / 30, abs=1e-6)


def test_a_frame_that_no_row_shows_has_the_row_before_it() -> None:
    frames = SourceFrames(numbers=(7, 8, 9, 10, 11, 12), times_s=tuple(np.arange(6) / 30), shown=(7, 8, 9, 10, 12))
    assert rows_of_source_frames(frames, np.arange(5)).tolist() == [0, 1, 2, 3, 3, 4]
    assert rows_of_source_frames(frames, np.array([0, 4])).tolist() == [0, -1, -1, -1, -1, 1], "sparse rows stay sparse"
    slow = SourceFrames(numbers=(3, 4), times_s=(0.0, 0.08), shown=(3, 3, 4, 4))
    assert rows_of_source_frames(slow, np.arange(4)).tolist() == [0, 2], "the first row that shows a frame"


def test_the_rate_of_source_frames_leaves_holes_out() -> None:
    holes = SourceFrames(numbers=(1, 2, 9, 10), times_s=(0.0, 0.04, 0.2, 0.24), shown=(1, 2, 9, 10))
    assert measure_fps([holes]) == 25.0
    times = tuple(round(frame / 29.97, 6) for frame in range(300))
    assert measure_fps([SourceFrames(numbers=tuple(range(1, 301)), times_s=times, shown=(1,))]) == 29.97
    assert measure_fps([SourceFrames(numbers=(1,), times_s=(0.0,), shown=(1,))]) is None


def test_other_labels_that_stand_there_are_told_with_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"v{video:02d},{frame},0.5,0.1\n" for video in range(25) for frame in (1, 2, 3))
    (tmp_path / "labels.csv").write_text(f"video,frame,valence,arousal\n{rows}")
    argv = ["frame-labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "L")]
    assert main([*argv, "--fps", "25"]) == 0
    capsys.readouterr()
    assert main([*argv, "--fps", "30"]) == 1
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert "v00 stand there (25 frames a second there, and 30 now); remove them, or name another folder" in lines[0]
    assert len(lines) == 21
    assert lines[20].endswith("and 5 faults more")
    assert printed.out.splitlines()[-1] == "  25 faults in the labels; no labels were written"
    (tmp_path / "labels.csv").write_text(f"video,frame,valence,arousal\nv99,1,0,0\n{rows.replace('0.5', '0.6')}")
    assert main([*argv, "--fps", "25"]) == 1
    printed = capsys.readouterr()
    assert "v00 stand there (other frames, values or settings)" in printed.err
    assert printed.out.splitlines()[-1] == "  25 faults in the labels; what is right was written"
