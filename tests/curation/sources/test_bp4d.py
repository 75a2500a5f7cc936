"""BP4D: the action units of each coded frame, under the numbers of the images."""

from pathlib import Path

import pytest
from avf_shards.errors import UserError
from support.corpora import labels_of, read_corpus, write_file
from support.images import write_images

HEADER = "0,1,2,4,5,6,7,10,12,15,23,24"


def write_coding(root: Path, name: str, rows: list[str]) -> None:
    write_file(root, f"AUCoding/AU_OCC/{name}.csv", "\n".join([HEADER, *rows]) + "\n")


def test_coded_frames_have_the_numbers_of_the_images(tmp_path: Path) -> None:
    rows = ["2440,0,1,0,9,0,0,0,0,0,0,9", "2441,1,0,0,0,0,0,0,0,0,0,0", "2443,1,0,0,0,0,0,0,0,0,0,1"]
    write_coding(tmp_path, "F001_T1", rows)
    write_images(tmp_path / "Sequences/F001/T1", ["2439.jpg", "2440.jpg", "2441.jpg", "2442.jpg"])
    videos, kinds = read_corpus("bp4d", tmp_path)
    (video,) = videos.values()
    assert (video.video_id, video.path, video.group_id, video.speaker) == (
        "F001_T1",
        "Sequences/F001/T1",
        "F001",
        "F001",
    )
    labels = labels_of(video).to_json()["frames"]["action_units"]
    assert (labels["first_frame"], labels["total"]) == (2440, 4)
    assert len(labels["columns"]) == 12
    assert labels["columns"]["AU1"] == [0, 1, None, 1]
    assert labels["columns"]["AU2"] == [1, 0, None, 0]
    assert labels["columns"]["AU24"] == [None, 0, None, 1]
    assert labels["columns"]["AU25"] == labels["columns"]["AU26"] == [None] * 4
    assert kinds == {"missing": 1}  # frame 2443 has no image


def test_what_is_no_coding_is_named(tmp_path: Path) -> None:
    good = "1,0,0,0,0,0,0,0,0,0,0,0"
    write_coding(tmp_path, "F001_T1", [good, "2,0", "x" + good, good, "3,0,0,0,0,0,0,0,0,0,0,2", "9" * 5000 + good[1:]])
    write_coding(tmp_path, "M002_T8", [good])
    write_file(tmp_path, "AUCoding/AU_OCC/F003_T2.csv", "frame,smile\n1,1\n")
    write_images(tmp_path / "F001/T1", ["1.jpg"])
    write_images(tmp_path / "F003/T2", ["1.jpg"])
    videos, kinds = read_corpus("bp4d", tmp_path)
    assert set(videos) == {"F001_T1"}
    assert kinds == {"bad_row": 5, "duplicate": 1, "missing": 1}


def test_a_folder_without_coding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder AUCoding/AU_OCC/"):
        read_corpus("bp4d", tmp_path)
