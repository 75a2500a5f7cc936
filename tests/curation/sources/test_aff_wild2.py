"""Aff-Wild2 as its owners distribute it: persons, sets, labels of frames, and every fault by file and line."""

import math
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from support import corpora
from support.corpora import EXPRESSION_HEADER, PLAN, labels_of, read_corpus, write_annotation, write_file
from support.images import write_images

VA = "6th_ABAW_Annotations/VA_Estimation_Challenge"


def read_skipped(name: str, root: Path) -> dict[str, tuple[str, str]]:
    skipped: list[SkippedInput] = []
    list(list_inputs(name, root, PLAN, skipped))
    return {entry.path: (entry.kind, entry.reason) for entry in skipped}


def test_each_person_of_a_film_is_an_input(tmp_path: Path) -> None:
    videos, _ = read_corpus("aff_wild2", corpora.aff_wild2(tmp_path))
    assert {track: (video.path, video.side, video.side_share) for track, video in videos.items()} == {
        "1-30-1280x720": ("batch1/1-30-1280x720.mp4", None, 0.5),
        "11-30-1280x720": ("batch1/11-30-1280x720.mp4", None, 0.5),
        "10-60-1280x720": ("batch2/10-60-1280x720.mp4", "left", 0.5),  # the other person beside _right
        "10-60-1280x720_right": ("batch2/10-60-1280x720.mp4", "right", 0.5),
        "6-30-1920x1080_left": ("batch2/6-30-1920x1080.mp4", "left", 0.56),
        "video10_1_left": ("batch1/video10_1.mp4", "left", 0.5),
        "video10": ("batch1/video10.avi", None, 0.5),
        "143": ("new_vids/143.avi", None, 0.5),
    }
    assert {videos[track].group_id for track in ("10-60-1280x720", "10-60-1280x720_right")} == {"10-60-1280x720"}


def test_sets_and_labels_of_a_person_come_from_all_tasks(tmp_path: Path) -> None:
    videos, _ = read_corpus("aff_wild2", corpora.aff_wild2(tmp_path))
    labels = labels_of(videos["1-30-1280x720"])
    assert labels.values == {
        "valence_arousal_set": "train",
        "expressions_set": "train",
        "action_units_set": "validation",
    }
    assert labels.folds == {"valence_arousal": 0, "expressions": 0, "action_units": 1}
    tasks = labels.to_json()["frames"]
    assert tasks["valence_arousal"] == {
        "first_frame": 1,
        "columns": {"valence": [0.602, None, -0.5], "arousal": [0.389, None, 1]},
        "classes": [],
        "total": 3,
    }
    assert tasks["expressions"]["columns"] == {"expression": [0, 7, None, None]}
    assert tasks["expressions"]["classes"] == EXPRESSION_HEADER.split(",")
    assert [tasks["action_units"]["columns"][unit] for unit in ("AU1", "AU7", "AU25", "AU26")] == [
        [0],
        [1],
        [1],
        [None],
    ]
    test_only = labels_of(videos["143"])
    assert (test_only.values, test_only.folds, test_only.frames) == ({"expressions_set": "test"}, {}, {})


def test_every_fault_is_named_with_file_and_line(tmp_path: Path) -> None:
    skipped = read_skipped("aff_wild2", corpora.aff_wild2(tmp_path))
    kinds = {path: kind for path, (kind, _) in skipped.items()}
    expressions = "6th_ABAW_Annotations/EXPR_Recognition_Challenge"
    assert kinds == {
        f"{VA}/Validation_Set/video10_1_left.txt:2": "bad_row",
        f"{VA}/Validation_Set/video10_1_left.txt:4": "bad_row",
        f"{VA}/Validation_Set/gone.txt": "missing",
        f"{VA}/Validation_Set/video10.txt": "duplicate",
        f"{expressions}/Validation_Set/11-30-1280x720.txt:1": "bad_row",
        "6th_ABAW_Annotations/EXPR_Classification_Challenge/Train_Set/1-30-1280x720.txt:4": "bad_row",
        "names_of_videos_in_each_test_set/Valence_Arousal_Estimation_Challenge_test_set_release.txt:2": "missing",
        "new_vids/spare.mp4": "unlisted",
    }
    assert skipped[f"{VA}/Validation_Set/video10_1_left.txt:2"][1] == (
        "'0.1,zero' is not 2 numbers: frame 1 has no such label"
    )
    assert "counts for validation" in skipped[f"{VA}/Validation_Set/video10.txt"][1]


def test_a_video_in_two_sets_is_not_trained_on(tmp_path: Path) -> None:
    root = corpora.aff_wild2(tmp_path)
    write_file(root, "names_of_videos_in_each_test_set/VA_Estimation_Challenge_test_set_release.txt", "1-30-1280x720\n")
    videos, _ = read_corpus("aff_wild2", root)
    assert labels_of(videos["video10"]).values == {"valence_arousal_set": "validation"}
    assert labels_of(videos["1-30-1280x720"]).values["valence_arousal_set"] == "test"
    assert "valence_arousal" not in labels_of(videos["1-30-1280x720"]).folds


def test_a_bad_line_moves_no_label(tmp_path: Path) -> None:
    videos, _ = read_corpus("aff_wild2", corpora.aff_wild2(tmp_path))
    columns = labels_of(videos["video10_1_left"]).frames["valence_arousal"].columns
    assert math.isnan(columns["valence"][0])
    assert math.isnan(columns["arousal"][0])
    assert [columns[name][1] for name in ("valence", "arousal")] == [0.2, 0.5]
    assert len(columns["valence"]) == 3


@pytest.mark.parametrize("line", ["nan,0", "inf,0", "0_1,0", "١,0", "0", "0,0,0", "", "1e999,0", "1.01,0", "-1.5,0"])
def test_a_line_that_is_no_label_is_a_frame_without_one(line: str, tmp_path: Path) -> None:
    write_file(tmp_path, "batch1/7.mp4")
    write_annotation(tmp_path, "VA_Estimation_Challenge/Train_Set/7", "valence,arousal", ["0,0", line, "1,1"])
    videos, _ = read_corpus("aff_wild2", tmp_path)
    assert labels_of(videos["7"]).to_json()["frames"]["valence_arousal"]["columns"]["valence"] == [0, None, 1]
    kind, reason = read_skipped("aff_wild2", tmp_path)[f"{VA}/Train_Set/7.txt:3"]
    assert kind == "bad_row"
    assert reason.endswith("frame 2 has no such label")


def test_a_file_of_bad_lines_is_counted_and_not_listed_whole(tmp_path: Path) -> None:
    write_file(tmp_path, "batch1/7.mp4")
    write_annotation(tmp_path, "VA_Estimation_Challenge/Train_Set/7", "valence,arousal", ["x"] * 1000)
    skipped = read_skipped("aff_wild2", tmp_path)
    lines = [path for path in skipped if path.startswith(f"{VA}/Train_Set/7.txt:")]
    assert len(lines) == 20
    assert skipped[f"{VA}/Train_Set/7.txt"] == ("bad_row", "980 more lines that are no labels")


def test_aligned_faces_keep_the_numbers_of_their_frames(tmp_path: Path) -> None:
    corpora.aff_wild2(tmp_path)
    write_images(tmp_path / "cropped_aligned/1-30-1280x720", ["00001.jpg", "00003.jpg", "00004.jpg", "00005.jpg"])
    write_images(tmp_path / "cropped_aligned/10-60-1280x720_right", ["00001.jpg"])
    write_images(tmp_path / "cropped_aligned/nobody", ["00001.jpg"])
    videos, _ = read_corpus("aff_wild2_aligned", tmp_path)
    assert {track: video.path for track, video in videos.items()} == {
        "1-30-1280x720": "cropped_aligned/1-30-1280x720",
        "10-60-1280x720_right": "cropped_aligned/10-60-1280x720_right",
    }
    assert videos["10-60-1280x720_right"].side is None
    skipped = read_skipped("aff_wild2_aligned", tmp_path)
    assert skipped["cropped_aligned/1-30-1280x720"] == (
        "missing",
        "1 of 4 labelled frames have no image, 1 images are behind the last label",
    )
    assert skipped["cropped_aligned/nobody"][0] == "unlisted"
    assert skipped[f"{VA}/Train_Set/10-60-1280x720.txt"][0] == "missing"


def test_check_counts_labels_of_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "check", f"aff_wild2={corpora.aff_wild2(tmp_path)}"]) == 0
    output = capsys.readouterr().out
    assert "aff_wild2: 8 videos of the owners' 594" in output
    assert "valence_arousal: labels of 9 frames in 5 videos, 3 not valid" in output
    assert "action_units: labels of 1 frame in 1 video, 1 not valid" in output
    assert "bad row: 4" in output


def test_another_layout_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for name in ("aff_wild2", "aff_wild2_aligned"):
        with pytest.raises(UserError, match="there is none of the folders"):
            read_corpus(name, tmp_path)


def test_annotations_of_an_earlier_edition_are_read_only_alone(tmp_path: Path) -> None:
    write_file(tmp_path, "batch1/7.mp4")
    for edition, value in (("5th", "0,0"), ("6th", "1,1")):
        path = f"{edition}_ABAW_Annotations/VA_Estimation_Challenge/Train_Set/7.txt"
        write_file(tmp_path, path, f"valence,arousal\n{value}\n")
    videos, kinds = read_corpus("aff_wild2", tmp_path)
    assert labels_of(videos["7"]).to_json()["frames"]["valence_arousal"]["columns"]["valence"] == [1]
    assert kinds["excluded"] == 1


def test_labels_of_frames_belong_to_whole_files(tmp_path: Path) -> None:
    videos, _ = read_corpus("aff_wild2", corpora.aff_wild2(tmp_path))
    labels: Labels = labels_of(videos["1-30-1280x720"])
    with pytest.raises(ValueError, match="count from the start of a file"):
        Video(source="a", video_id="a", group_id="a", path="a", size_bytes=1, mtime_ns=1, start_s=1.0, labels=labels)
