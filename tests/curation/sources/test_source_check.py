"""`sources check` reads the number of a film's frames: labels of others are named with file and line."""

from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.sources.source_check import FrameLabelCounts, check_source
from support.corpora import PLAN, write_annotation, write_file
from support.videos import make_video

ANNOTATIONS = "VA_Estimation_Challenge/Train_Set"


@pytest.mark.parametrize(("extension", "container"), [("mp4", "mp4"), ("mkv", "matroska")])
def test_labels_behind_the_last_frame_are_named_with_the_line_of_the_first(
    extension: str, container: str, tmp_path: Path
) -> None:
    write_file(tmp_path, f"take.{extension}", make_video(25, container=container))
    rows = "".join(f"{frame},0.5,0\n" for frame in (1, 40, 2, 999, 41))
    write_file(tmp_path, "take.csv", f"frame,valence,arousal\n{rows}1000,-5,-5\n")
    write_file(tmp_path, "labels.csv", f"file,frame_labels\ntake.{extension},take.csv\n")
    check = check_source("mine", tmp_path, PLAN)
    (named,) = check.skipped_inputs
    assert (named.kind, named.path) == ("missing", "take.csv:3")
    assert named.reason == (
        f"valence_arousal of frame 40 and 2 frames behind it, to 999, of take.{extension}: take.{extension} has 25 "
        "frames by its header; is it the film that was labelled?"
    )
    assert check.frame_labels["valence_arousal"].behind == 3


def test_frames_without_labels_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_file(tmp_path, "batch1/film.mp4", make_video(50))
    write_annotation(tmp_path, f"{ANNOTATIONS}/film", "valence,arousal", ["0,0"] * 20)
    write_file(tmp_path, "batch1/other.mp4")
    write_annotation(tmp_path, f"{ANNOTATIONS}/other", "valence,arousal", ["0,0"] * 20)
    assert main(["sources", "check", f"aff_wild2={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "labels of 40 frames in 2 videos, 0 not valid; 0 behind the last frame of their film, 30 frames" in printed
    assert "films with labels whose frames cannot be counted: 1\n    batch1/other.mp4: cannot be opened" in printed


def test_labels_of_one_frame_more_than_the_header_has_are_no_fault(tmp_path: Path) -> None:
    write_file(tmp_path, "batch1/film.mp4", make_video(25))
    for labels in (25, 27, 28):
        write_annotation(tmp_path, f"{ANNOTATIONS}/film", "valence,arousal", ["0,0"] * labels)
        check = check_source("aff_wild2", tmp_path, PLAN)
        assert check.frame_labels["valence_arousal"] == FrameLabelCounts(
            videos=1, frames=labels, invalid=0, behind=labels == 28, unlabelled=0
        )
    assert f"6th_ABAW_Annotations/{ANNOTATIONS}/film.txt:29" in {skipped.path for skipped in check.skipped_inputs}


def test_forged_segments_behind_the_end_of_a_video_are_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_file(tmp_path, f"{name}.mp4", make_video(25))
    write_file(tmp_path, "d.mp4", "no film")
    rows = ["a.mp4,0,,,", "b.mp4,1,a.mp4,audio,0.2-1", "c.mp4,1,a.mp4,audio,0.2-0.4;0.5-1.5", "d.mp4,1,a.mp4,audio,0-1"]
    write_file(tmp_path, "labels.csv", "\n".join(["file,fake,original,forged,segments", *rows]))
    check = check_source("mine", tmp_path, PLAN)
    assert [(each.kind, each.path, each.reason) for each in check.skipped_inputs] == [
        ("bad_row", "c.mp4", "a forged segment ends at 1.5 s, and the video at 1.00 s")
    ]
    assert set(check.uncounted) == {"d.mp4"}
