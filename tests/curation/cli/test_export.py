"""`avf-curate export --fiftyone`: what FiftyOne's importer of temporal detections reads."""

import json
import os
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.media.frame_rate import FrameRate, read_frame_rate
from avf_curation.runs.curation import RunOptions, curate
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs, make_run
from support.stages import single_step
from support.videos import make_video


def test_every_decision_lies_on_its_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    (tmp_path / "in/000.mp4").write_bytes(make_video(60, rate=30))
    (tmp_path / "in/002.mp4").unlink()
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "set")]) == 0
    output = capsys.readouterr()
    assert "6 decisions on 2 videos" in output.out
    assert f"{tmp_path / 'in/002.mp4'}: no such file" in output.err
    paths = json.loads((tmp_path / "set/data.json").read_text())
    labels = json.loads((tmp_path / "set/labels.json").read_text())
    by_file = {Path(path).name: labels["labels"][name] for name, path in paths.items()}
    assert labels["classes"] == ["kept", "rejected faces: no_face"]
    # Frames 0 to 50 and 50 to 80 at 25 fps are 0 to 2 s and 2 to 3.2 s; the file has 60 frames at 30 fps.
    assert [label["support"] for label in by_file["000.mp4"]] == [[1, 60], [60, 60], [60, 60]]
    # A file that is no video: its labels lie on its first frame.
    assert [label["support"] for label in by_file["001.mp4"]] == [[1, 1]] * 3
    kept, rejected, _ = by_file["000.mp4"]
    assert (kept["label"], kept["attributes"]["sync_low_confidence"]) == ("kept", 5.0)
    assert kept["attributes"]["not_measured"] == "quality blurred, quality watermark_pooled"
    assert (rejected["attributes"]["reason"], rejected["attributes"]["score"]) == ("no_face", 1.0)
    assert all("." not in name for label in by_file["000.mp4"] for name in label["attributes"])


def test_frames_are_those_that_a_player_shows(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(make_video(90, rate=30))
    rate = read_frame_rate(file)
    assert rate == FrameRate(fps=30.0, frames=90)
    assert rate.frame_range(0.0, 1.0) == [1, 30]
    assert rate.frame_range(1.0, 3.0) == [31, 90]
    assert rate.frame_range(5.0, 6.0) == [90, 90]


def test_a_folder_with_files_and_an_unknown_source_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "in")]) == 2
    assert "not a new or empty folder" in capsys.readouterr().err
    (run.log_folder / "sources.json").unlink()
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "set")]) == 2
    assert "name it with --source made=DIR" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_names_that_are_no_utf8_and_inputs_that_are_gone_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_inputs(tmp_path / "in", 1)
    (source / os.fsdecode(b"n\xff.mp4")).write_bytes(b"another")
    stages = single_step(stub_curate)
    run = curate(
        make_recipe(), EMBEDDED, {"made": source}, tmp_path / "run", RunOptions(engine="inline", stages=stages)
    )
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "set")]) == 0
    output = capsys.readouterr()
    assert "on 1 video\n" in output.out
    assert "n\\xff.mp4: its name is not UTF-8" in output.err
    source.rename(tmp_path / "moved")
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "other")]) == 2
    assert "add --source made=DIR" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    folder = f"made={tmp_path / 'moved'}"
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "other"), "--source", folder]) == 0
    assert main(["export", str(run.root), "--fiftyone", str(tmp_path / "more"), "--source", f"mad={tmp_path}"]) == 2
    assert "the run has made" in capsys.readouterr().err


def test_fiftyone_reads_it(tmp_path: Path) -> None:
    """With the real package, where it is installed and FIFTYONE_DATABASE_URI names its database."""
    if "FIFTYONE_DATABASE_URI" not in os.environ:
        pytest.skip("FIFTYONE_DATABASE_URI names no database for FiftyOne")
    fiftyone = pytest.importorskip("fiftyone")
    assert main(["export", str(make_run(tmp_path).root), "--fiftyone", str(tmp_path / "set")]) == 0
    dataset = fiftyone.Dataset.from_dir(
        dataset_dir=str(tmp_path / "set"),
        dataset_type=fiftyone.types.FiftyOneTemporalDetectionDataset,
        data_path="data.json",
        label_field="decisions",
        dynamic=True,
    )
    assert len(dataset) == 3
    assert dataset.count_values("decisions.detections.label") == {"kept": 6, "rejected faces: no_face": 3}
    assert dataset.count_values("decisions.detections.source") == {"made": 9}
    assert len(dataset.to_clips("decisions")) == 9
