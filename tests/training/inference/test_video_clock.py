"""Times of predictions are those of a player, also in files whose picture begins after their sound."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_training.inference.video_clock import VideoClock, first_picture_s
from support.records import make_clip_record
from support.videos import make_video


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_the_first_picture_is_as_late_as_the_file_says(tmp_path: Path, container: str) -> None:
    late, at_once = tmp_path / "late", tmp_path / "at-once"
    late.write_bytes(make_video(container=container, times=list(range(15, 65))))
    at_once.write_bytes(make_video(container=container))
    # AAC begins with a frame before time 0, which containers tell in their own ways.
    assert first_picture_s(late) - first_picture_s(at_once) == pytest.approx(0.6, abs=0.002)
    assert 0 <= first_picture_s(at_once) < 0.2


def test_clips_of_such_a_file_are_later_by_that(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "late.mkv").write_bytes(make_video(container="matroska", times=list(range(15, 65))))
    record = replace(make_clip_record("late-1-10-35-0"), path="late.mkv")
    for videos in (folder, folder / "late.mkv"):
        assert VideoClock(videos).clip_start_s(record) == pytest.approx(0.6 + 0.4, abs=0.002)
    part = replace(record, start_s=12.0)
    assert VideoClock(folder).clip_start_s(part) == pytest.approx(12 + 0.6 + 0.4, abs=0.002)
    assert VideoClock(None).clip_start_s(record) == pytest.approx(0.4), "shards alone"
    assert VideoClock("s3://bucket/shards").clip_start_s(record) == pytest.approx(0.4)
    (folder / "late.mkv").write_bytes(b"no video")
    assert VideoClock(folder).clip_start_s(record) == pytest.approx(0.4)
