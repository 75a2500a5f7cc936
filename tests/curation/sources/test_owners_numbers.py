"""Numbers in the files of owners are bounded by one function, in every source that reads any."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from avf_curation.sources.owners_numbers import is_part_of_recording, parse_box, parse_number
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput
from scipy.io import savemat
from support.corpora import PLAN, write_file
from support.face_pictures import curate_pictures, encode_face
from support.picture_corpora import JPEG, read_pictures
from support.picture_runs import decisions_of_pictures

HOSTILE = ("1e308", "-1e308", "1e400", "inf", "-inf", "nan", "9" * 5000, "0x10", "", "NULL")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_box_and_no_time_has_such_a_number(text: str) -> None:
    assert parse_box((0, 0, text, 10)) is None
    assert parse_box((text, 0, 10, 10)) is None
    number = parse_number(text)
    assert number is None or math.isfinite(number)
    assert number is None or not is_part_of_recording(0, abs(number))


def test_what_can_be_a_number_of_a_corpus_is_one() -> None:
    assert parse_number(" 0.5 ", -1, 1) == 0.5
    assert parse_number("1.5", -1, 1) is None
    assert parse_number(np.float32(2)) == 2
    assert parse_number(None) is None
    assert parse_box((-3, "0", 10.5, 20)) == (-3, 0, 10.5, 20)
    assert [parse_box(edges) for edges in ((), (1, 2, 3), (5, 0, 5, 9), (0, 9, 5, 1))] == [None] * 4
    assert is_part_of_recording(0, 0.04)
    assert not any(is_part_of_recording(*times) for times in ((1, 1), (-1, 1), (2, 1), (math.nan, 1), (0, math.inf)))


@pytest.mark.parametrize("edge", [1e308, -1e308, math.inf, math.nan, 1e7])
def test_a_face_of_imdb_wiki_that_is_none_costs_its_own_box(edge: float, tmp_path: Path) -> None:
    root, names = tmp_path / "imdb", ["00/a.jpg", "00/b.jpg"]
    for name in names:
        write_file(root, f"wiki_crop/{name}", encode_face(3))
    boxes = np.empty((1, 2), object)
    boxes[0, 0], boxes[0, 1] = np.array([[1.0, 2.0, edge, 40.0]]), np.array([[60.0, 30.0, 180.0, 150.0]])
    table = {
        "full_path": np.array(names, object)[None],
        "face_location": boxes,
        "face_score": np.array([[3.5, 3.5]]),
        "second_face_score": np.array([[math.nan, math.nan]]),
    }
    savemat(root / "wiki_crop/wiki.mat", {"wiki": table})
    pictures, skipped = read_pictures("imdb_wiki", root)
    assert [pictures[f"wiki/{name}"].box_px for name in names] == [None, (60, 30, 180, 150)]
    reason = "its face is no part of a picture: every face that is seen counts"
    assert skipped == {"wiki_crop/wiki.mat: entry 1": ("bad_row", reason)}
    if edge == 1e308:
        run = curate_pictures(root, tmp_path / "run", source="imdb_wiki")
        assert [decision.status for decision in decisions_of_pictures(run).values()] == ["kept", "kept"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_face_of_affectnet_that_is_none_costs_its_own_box(text: str, tmp_path: Path) -> None:
    write_file(tmp_path, "Manually_Annotated_Images/1/a.jpg", JPEG)
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    write_file(tmp_path, "training.csv", f"{header}\n1/a.jpg,1,2,{text},30,1;2,1,0.5,0.5\n")
    pictures, _ = read_pictures("affectnet", tmp_path)
    assert pictures["1/a.jpg"].box_px is None
    assert pictures["1/a.jpg"].labels is not None


@pytest.mark.parametrize("text", HOSTILE)
def test_labels_of_a_folder_are_numbers_of_their_scale(text: str, tmp_path: Path) -> None:
    write_file(tmp_path, "a.jpg", JPEG)
    write_file(tmp_path, "labels.csv", f"file,valence,expression\na.jpg,{text},Happiness\n")
    pictures, skipped = read_pictures("pictures", tmp_path)
    labels = pictures["a.jpg"].labels
    assert labels is not None
    assert "valence" not in labels.values
    assert ("labels.csv:2" in skipped) == bool(text)


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
def test_a_range_of_a_downloaded_video_that_no_video_has_is_a_bad_row(text: str, tmp_path: Path) -> None:
    write_file(tmp_path, "avspeech_train.csv", f"id,start,end,x,y\nabcdefghijk,0,{text},0.5,0.5\n")
    assert bad_rows("avspeech", tmp_path) == {"avspeech_train.csv:2"}


def test_a_range_of_celebvhq_that_no_video_has_is_a_bad_row(tmp_path: Path) -> None:
    entry = {
        "ytb_id": "abcdefghijk",
        "duration": {"start_sec": 0, "end_sec": 1e308},
        "bbox": {"left": 0, "top": 0, "right": 1, "bottom": 1},
    }
    write_file(tmp_path, "celebvhq_info.json", json.dumps({"clips": {"abcdefghijk_0": entry}}))
    assert bad_rows("celebvhq", tmp_path) == {"celebvhq_info.json: abcdefghijk_0"}


def bad_rows(name: str, root: Path) -> set[str]:
    skipped: list[SkippedInput] = []
    list(list_inputs(name, root, PLAN, skipped))
    return {entry.path for entry in skipped if entry.kind == "bad_row"}
