"""Rates of frames: one rule tells which numbers are any, and when two rates of one video are the same."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.cli.extract import frame_rates
from avf_training.cli.main import main
from avf_training.framewise.combination.alignment import align_tracks
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.predictions.truth_join import join_video
from avf_training.framewise.tracks.errors import OtherTrackError
from avf_training.framewise.tracks.frame_rates import check_same_rate, is_frame_rate, warn_of_rates_together
from support.frame_predictions import make_labels, make_prediction, write_labels, write_model


@pytest.mark.parametrize(
    ("fps", "other", "outcome"),
    [
        (29.97, 30000 / 1001, "same"),
        (30.0, 29.97, "warned"),
        (25.0, 24.8, "warned"),
        (25.0, 24.7, "refused"),
        (25.0, 50.0, "refused"),
        (6.0, 6.0005, "same"),
    ],
)
def test_one_rule_joins_warns_or_refuses_everywhere(
    fps: float, other: float, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = np.zeros((20, 2))
    first, second = (make_prediction(name, "va", "v", vectors, fps=rate) for name, rate in (("a", other), ("b", fps)))
    joins: dict[str, Any] = {
        "members of an ensemble": lambda: align_tracks(find_task("va"), [first, second], "every"),
        "labels and predictions": lambda: join_video(make_labels("va", "v", fps=fps), first),
        "the rule": lambda: check_same_rate("track", fps, "another", other),
    }
    for name, join in joins.items():
        caplog.clear()
        if outcome == "refused":
            with pytest.raises(
                OtherTrackError, match=r"frames a second in the .*, and .* write both with the same --fps"
            ):
                join()
            continue
        join()
        assert ("apart after ten minutes" in caplog.text) == (outcome == "warned"), name


@pytest.mark.parametrize("text", ["zero", "0", "-1", "nan", "inf", "1000", "25 fps"])
def test_what_is_no_rate_and_no_table_is_said_to_be_neither(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no number of frames a second"):
        frame_rates(text)


def test_rates_are_numbers_or_a_table_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame_rates("29.97") == 29.97
    table = tmp_path / "fps.csv"
    table.write_text("video,fps\n1,25\n")
    assert frame_rates(str(table)) == table
    with pytest.raises(SystemExit) as stopped:
        main(["frame-labels", str(table), "--fps", "zero", "--out", str(tmp_path / "labels")])
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert "'zero' is no number of frames a second, and no table with the columns video and fps" in printed
    assert [is_frame_rate(fps) for fps in (0.5, 999.9, 0.0, 1000.0, float("nan"), float("inf"))] == [
        *(True, True),
        *(False, False, False, False),
    ]
    with pytest.raises(UserError, match="write both with the same --fps"):
        check_same_rate("labels", 30.0, "tracks", 25.0)


def test_many_pairs_of_rates_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with warn_of_rates_together():
        for video in range(5):
            for _ in range(3):  # a command may ask several times
                check_same_rate(f"labels of v{video}", 30.0, "its tracks", 29.97)
        check_same_rate("labels of w", 30.0, "its tracks", 30.0)
        assert not caplog.records
    (record,) = caplog.records
    assert record.getMessage() == (
        "5 pairs of rates differ: 30 frames a second in the labels of v0, and 29.97 in its tracks; 30 frames a second "
        "in the labels of v1, and 29.97 in its tracks; 30 frames a second in the labels of v2, and 29.97 in its "
        "tracks; and 2 more; they are joined by the numbers of frames, and are 0.6 s apart after ten minutes if both "
        "numbers are right"
    )
    check_same_rate("labels of v0", 30.0, "its tracks", 29.97)
    assert len(caplog.records) == 2, "outside of the block each is told"


def test_commands_tell_rates_that_differ_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [f"v{number}" for number in range(6)]
    for video in videos:
        write_labels(tmp_path / "L", "va", video, "validation", fps=29.97)
    write_model(tmp_path / "P", "a", "va", videos)
    argv = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*argv, "--out", str(tmp_path / "R")]) == 0
    warnings = [record.getMessage() for record in caplog.records if "frames a second" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("6 pairs of rates differ: 29.97 frames a second in the labels of")
