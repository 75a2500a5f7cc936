"""avf-shards cuts: the list says where each clip is in its original, in numbers that others can cut by."""

import csv
import json
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.sources.types import Video
from avf_shards.cli.main import main
from avf_shards.packing.cut_kinds import CUT_COLUMNS
from avf_shards.packing.cut_list import Cut
from avf_shards.timeline import Span
from support.labelled import curate_labelled_clip, make_label_rows, make_labelled_shards
from support.picture_shards import make_picture, write_picture_shards
from support.records import make_clip_record

CROP = (12.5, 0.0, 332.5, 300.0)


def _curate_with_crop(video: Video, root: Path, settings: object, tools: object) -> object:
    outcomes = curate_labelled_clip(video, root, settings, tools)
    (outcome,) = outcomes.outcomes
    clips = tuple(replace(clip, crop_px=CROP) for clip in outcome.clips)
    return replace(outcomes, outcomes=(replace(outcome, clips=clips),))


@pytest.fixture(name="shards", scope="module")
def _shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuts")
    make_labelled_shards(folder, {"interviews": make_label_rows(1)}, _curate_with_crop)  # type: ignore[arg-type]  # returns an object
    return folder / "shards"


def test_a_table_and_lines_of_json_say_the_same(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cuts", str(shards), "--out", str(tmp_path / "cuts.csv")]) == 0
    assert main(["cuts", str(shards), "--out", str(tmp_path / "cuts.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/cuts.csv: 4 clips, 10.2 s"
    with (tmp_path / "cuts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "cuts.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 4
    assert tuple(rows[0]) == CUT_COLUMNS
    for row, line in zip(rows, lines, strict=True):
        assert line["schema_version"] == 1
        assert (
            line["crop_px"] == list(CROP) == [float(row[f"{edge}_px"]) for edge in ("left", "top", "right", "bottom")]
        )
        assert (row["key"], row["path"]) == (line["key"], line["path"])
        assert (float(row["start_s"]), float(row["stop_s"])) == (line["start_s"], line["stop_s"]) == (0.0, 2.56)
        assert row["speaker"] == (line["speaker"] or "")
    assert sorted(row["path"] for row in rows) == [f"{number:03d}.mp4" for number in range(4)]


def test_the_times_are_those_of_the_file() -> None:
    record = replace(make_clip_record("made-0123456789ab-50-100-1"), start_s=60.2, av_offset_ms=-40)
    cut = Cut.from_record(record)
    assert (cut.start_s, cut.stop_s, cut.person, cut.av_offset_ms) == (62.2, 64.2, 1, -40)
    assert Cut.from_record(replace(record, start_s=None, span=Span(1, 2))).stop_s == 0.08


def test_clips_of_earlier_versions_have_no_crop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_labelled_shards(tmp_path, {"interviews": make_label_rows(1, each=1)})
    assert main(["cuts", str(tmp_path / "shards"), "--out", str(tmp_path / "cuts.csv")]) == 0
    assert "2 clips of an earlier version: where the face is in the picture is not known" in capsys.readouterr().out
    with (tmp_path / "cuts.csv").open(newline="") as file:
        assert {row["left_px"] for row in csv.DictReader(file)} == {""}


def test_a_list_is_replaced_and_files_of_others_stay(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cuts.jsonl"
    for _ in range(2):
        assert main(["cuts", str(shards), "--out", str(out)]) == 0
    out.write_text("my notes")
    with pytest.raises(SystemExit):
        main(["cuts", str(shards), "--out", str(out)])
    assert "is there already and is not a list of cuts" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["cuts", str(shards), "--out", str(tmp_path / "cuts.txt")])
    assert "must end in .csv or .jsonl: the ending decides the format" in capsys.readouterr().err


def test_what_holds_no_clips_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    write_picture_shards(pictures, [make_picture("anna.jpg", np.zeros((8, 8, 3), np.uint8))])
    assert main(["cuts", str(pictures), "--out", str(tmp_path / "cuts.csv")]) == 2
    assert "holds pictures, which are no parts of videos" in capsys.readouterr().err
    assert main(["cuts", str(tmp_path / "absent"), "--out", str(tmp_path / "cuts.csv")]) != 0
    assert not (tmp_path / "cuts.csv").exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg, which cuts the film, is not here")
def test_a_cut_by_ffmpeg_has_the_frames_of_the_clip_where_the_sound_begins_earlier(tmp_path: Path) -> None:
    """As docs/howto/talking-heads.md says: the difference of both starts is added to the times of the list."""
    film, cut_film = tmp_path / "film.mkv", tmp_path / "cut.mkv"
    with av.open(str(film), "w") as container:
        picture, sound = container.add_stream("ffv1", rate=25), container.add_stream("pcm_s16le", rate=16_000)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "bgr0"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.pts = 16_000, 0
        container.mux(sound.encode(silence))
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 2 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + 13, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux([*picture.encode(), *sound.encode()])
    cut = Cut.from_record(replace(make_clip_record("made-0123456789ab-50-100-1"), start_s=None, span=Span(25, 30)))
    with av.open(str(film)) as container:
        starts_s = [float(stream.start_time * stream.time_base) for stream in container.streams]
    later_s = starts_s[0] - min(starts_s)
    assert later_s == pytest.approx(0.52)
    times = ["-ss", str(cut.start_s + later_s), "-to", str(cut.stop_s + later_s)]
    command = ["ffmpeg", "-v", "error", *times, "-i", str(film), "-an", "-c:v", "ffv1", str(cut_film)]
    subprocess.run(command, check=True)
    with av.open(str(cut_film)) as container:
        levels = [int(frame.to_ndarray(format="rgb24")[0, 0, 0]) for frame in container.decode(video=0)]
    assert levels == [50, 52, 54, 56, 58]
