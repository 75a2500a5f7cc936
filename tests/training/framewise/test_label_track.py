"""Labels of frames are written once, read back equal, and refused where they are damaged or of something else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from avf_shards.errors import UserError
from avf_training.framewise.labels.label_track import (
    LabelTrack,
    encode_label_track,
    label_path,
    list_label_tracks,
    read_label_track,
    write_label_track,
)
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, find_task
from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.identity import TrackSubject

SUBJECT = TrackSubject(source="aff_wild2", video_id="10-60-1280x720_right")


def make_labels(task: str = "va", **changes: Any) -> LabelTrack:
    """Six labelled frames, of which the second has no valid first value."""
    task_of_labels = TASKS_OF_FRAMES[task]
    values = np.random.default_rng(0).integers(0, 2, (6, len(task_of_labels.columns))).astype(np.float32)
    values[1, 0] = np.nan
    track = LabelTrack(
        subject=SUBJECT,
        task=task_of_labels,
        split="train",
        group="10-60-1280x720",
        person="anna",
        scene="reaction",
        fps=29.97,
        frames_N=np.arange(3, 9),
        times_s_N=np.arange(2, 8) / 29.97,
        values_NK=values,
    )
    return replace(track, **changes)


@pytest.mark.parametrize("task", TASKS_OF_FRAMES)
@pytest.mark.parametrize("unknown", [{}, {"split": None, "person": None, "scene": None}])
def test_labels_are_read_as_they_were_written(tmp_path: Path, task: str, unknown: dict[str, None]) -> None:
    track = make_labels(task, **unknown)
    path = write_label_track(tmp_path, track)
    assert path == tmp_path / task / "aff_wild2/10-60-1280x720_right.parquet"
    read = read_label_track(path, task=find_task(task), subject=SUBJECT)
    for name in ("subject", "task", "split", "group", "person", "scene", "fps"):
        assert getattr(read, name) == getattr(track, name)
    assert np.array_equal(read.frames_N, track.frames_N)
    assert np.array_equal(read.times_s_N, track.times_s_N)
    assert np.array_equal(read.values_NK, track.values_NK, equal_nan=True)
    assert read.is_valid.tolist() == [True, False, True, True, True, True]
    assert encode_label_track(read) == encode_label_track(track)
    assert [each.subject for each in list_label_tracks(tmp_path, task)] == [SUBJECT]
    write_label_track(tmp_path, track)  # the same labels once more are no fault
    with pytest.raises(OtherTrackError, match="exists already"):
        write_label_track(tmp_path, replace(track, fps=25.0))


def test_labels_are_read_without_this_program(tmp_path: Path) -> None:
    valence = pq.read_table(write_label_track(tmp_path, make_labels("va")))
    assert valence.column_names == ["frame", "time_s", "valence", "arousal"]
    assert valence["valence"].null_count == 1
    units = pq.read_table(write_label_track(tmp_path, make_labels("au")))
    assert units.column_names[2:] == [f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)]
    assert units["AU1"].to_pylist()[1] == -1
    assert str(units["AU1"].type) == "int8"


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("va", {"values_NK": np.full((6, 2), -5, np.float32)}, "valence is -5 at frame 3, and must be from -1 to 1"),
        (
            "expr",
            {"values_NK": np.full((6, 1), 8, np.float32)},
            "expression is 8 at frame 3, .*whole number from 0 to 7",
        ),
        ("au", {"values_NK": np.full((6, 12), 0.5, np.float32)}, "AU1 is 0.5 at frame 3, .*whole number from 0 to 1"),
        ("va", {"values_NK": np.zeros((6, 3), np.float32)}, "there must be as many of each, in 2 columns"),
        ("va", {"frames_N": np.arange(6)}, "frame numbers do not rise from 1 on"),
        ("va", {"times_s_N": np.zeros(6)}, "its times do not rise"),
        ("va", {"fps": float("nan")}, "has nan frames a second"),
    ],
)
def test_what_no_label_may_be_is_not_written(tmp_path: Path, task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_label_track(tmp_path, make_labels(task, **changes))
    assert not list(tmp_path.rglob("*.parquet"))


def rewrite(path: Path, **changes: str) -> None:
    """Write a file with other metadata."""
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, **{key.encode(): value.encode() for key, value in changes.items()}}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_files_that_are_no_labels_are_named(tmp_path: Path) -> None:
    task, path = find_task("va"), label_path(tmp_path, find_task("va"), SUBJECT)
    with pytest.raises(MissingTrackError, match=r"no such label track; `avf-train frame-labels` writes it"):
        read_label_track(path)
    with pytest.raises(UserError, match=r"no labels of va; `avf-train frame-labels` writes them"):
        list(list_label_tracks(tmp_path, task))
    write_label_track(tmp_path, make_labels())
    for changes, message in (
        ({"split": "dev"}, "its metadata are not those of a label track .split 'dev'"),
        ({"group": "other"}, "their digest is another"),
        ({"task": "pain"}, "is of the task pain, not of va, expr, au"),
        ({"task": "au"}, "there is no column AU1"),
    ):
        before = path.read_bytes()
        rewrite(path, **changes)
        with pytest.raises(DamagedTrackError, match=message):
            read_label_track(path)
        path.write_bytes(before)
    with pytest.raises(OtherTrackError, match="has labels of va, not of expr"):
        read_label_track(path, task=find_task("expr"))
    with pytest.raises(OtherTrackError, match="is of aff_wild2/10-60-1280x720_right, not of aff_wild2/1"):
        read_label_track(path, subject=TrackSubject(source="aff_wild2", video_id="1"))
    path.rename(path.with_name("1.parquet"))
    with pytest.raises(OtherTrackError, match=r"its name is .*10-60-1280x720_right\.parquet"):
        list(list_label_tracks(tmp_path, task))
    path.with_name("1.parquet").write_bytes(b"no parquet")
    with pytest.raises(DamagedTrackError, match=r"1\.parquet: not readable .*write the labels again"):
        list(list_label_tracks(tmp_path, task))


def test_every_flipped_byte_of_labels_is_an_error(tmp_path: Path) -> None:
    """But for bytes that nothing is read from: then the labels are the same."""
    data, path, errors = encode_label_track(make_labels()), tmp_path / "v.parquet", 0
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        try:
            read = read_label_track(path, subject=SUBJECT)
        except (DamagedTrackError, OtherTrackError, UserError):
            errors += 1
        else:
            assert np.array_equal(read.values_NK, make_labels().values_NK, equal_nan=True)
    assert errors > len(data) / 7 / 2


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(UserError, match="--task pain: no such task; the tasks are va, expr, au"):
        find_task("pain")
