"""A labels.csv with a column `fake`: real and forged videos of a user, and every fault of a row named with its line."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from avf_curation.sources.forgery_labels import join_segments, parse_cells, parse_segments
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.schema.forgery import ForgedSegment, Forgery

ROW = {"file": "b.mp4", "fake": "1", "original": "a.mp4", "forged": "audio", "method": "yourtts", "segments": ""}


def read_table(folder: Path, *lines: str) -> tuple[dict[str, Video], list[SkippedInput]]:
    for line in lines[1:]:
        (folder / line.split(",")[0]).write_bytes(b"film")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    skipped: list[SkippedInput] = []
    videos = list_inputs("mine", folder, load_recipe().defaults.plan, skipped)
    return {video.video_id: video for video in videos}, skipped


def test_a_table_of_real_and_forged_videos(tmp_path: Path) -> None:
    videos, skipped = read_table(
        tmp_path,
        "file,fake,original,forged,method,segments,subject,split,camera",
        "a.mp4,real,,,,,anna,train,phone",
        "b.mp4,1,a.mp4,audio,yourtts,2-2.5; 0.4-0.84 video,anna,train,",
        "c.mp4,1,a.mp4,,,,,,",
    )
    assert not skipped
    real, word, untimed = (videos[name].labels for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert real is not None
    assert word is not None
    assert untimed is not None
    assert real.values == {"label": "real", "forged": "none", "method": "real", "split": "train", "camera": "phone"}
    assert real.forgery == Forgery(is_fake=False, original="a.mp4")
    assert word.values == {"label": "fake", "forged": "audio", "method": "yourtts", "split": "train"}
    assert (word.subject, word.session) == ("anna", "a.mp4")
    assert word.forgery is not None
    assert word.forgery.segments == (
        ForgedSegment(start_s=0.4, stop_s=0.84, kind="video"),
        ForgedSegment(start_s=2, stop_s=2.5, kind="audio"),
    )
    assert untimed.forgery == Forgery(is_fake=True, original="a.mp4", segments=None)
    assert untimed.values == {"label": "fake"}
    assert {video.group_id for video in videos.values()} == {"a.mp4"}


def test_a_table_without_the_column_stays_as_it_was(tmp_path: Path) -> None:
    videos, _ = read_table(tmp_path, "file,original,method", "a.mp4,x,y")
    labels = videos["a.mp4"].labels
    assert labels is not None
    assert (labels.values, labels.forgery, labels.session) == ({"original": "x", "method": "y"}, None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fake": "yes"}, "fake 'yes' is none of 0, 1, real, fake"),
        ({"forged": "lips"}, "forged 'lips' is none of none, audio, video, both"),
        ({"original": ""}, "is a fake without an original"),
        ({"segments": "2-1"}, r"\('2', '1'\) is no segment"),
        ({"segments": "1-x"}, r"\('1', 'x'\) is no segment"),
        ({"segments": "-1-2"}, "is no segment"),
        ({"segments": "1-2 lips"}, "segment '1-2 lips' has no kind"),
        ({"segments": "1-2", "forged": ""}, "segment '1-2' has no kind"),
        ({"fake": "0"}, "is real, and has forged segments or a kind of forgery"),
    ],
)
def test_a_bad_row_is_named(change: Mapping[str, str], message: str, tmp_path: Path) -> None:
    row = {**ROW, **change}
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(parse_cells(row))
    videos, skipped = read_table(tmp_path, "file,fake,original,forged,method,segments", ",".join(row.values()))
    assert not videos
    assert [(each.kind, each.path) for each in skipped] == [("bad_row", "labels.csv:2")]


def test_a_fake_whose_original_has_no_row_is_named_and_stays(tmp_path: Path) -> None:
    videos, skipped = read_table(tmp_path, "file,fake,original", "b.mp4,1,a.mp4")
    assert set(videos) == {"b.mp4"}
    assert [(each.kind, each.reason) for each in skipped] == [
        ("missing", "labels.csv has no row for a.mp4, the original of this fake")
    ]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("0-1", "segments must be a list"),
        (None, "segments must be a list"),
        ([[0, 1], [2]], r"\[2\] is no segment"),
        ([[0, 9.2]], "from 0 to 9.2 s ends behind the video, which has 9.1 s"),
        ([[0, float("nan")]], "is no segment"),
    ],
)
def test_segments_of_owners_that_cannot_be(pairs: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(parse_segments(pairs, "audio", duration_s=9.1))


def test_the_same_times_in_sound_and_picture_are_one_segment() -> None:
    audio = parse_segments([[4.4, 4.64], [1, 2]], "audio", method="yourtts")
    video = parse_segments([[4.4, 4.64], [3, 4]], "video", method="talklip")
    assert isinstance(audio, tuple)
    assert isinstance(video, tuple)
    assert [(part.start_s, part.kind, part.method) for part in join_segments(audio, video)] == [
        (1, "audio", "yourtts"),
        (3, "video", "talklip"),
        (4.4, "both", "yourtts+talklip"),
    ]
