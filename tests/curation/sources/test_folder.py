"""A plain folder: video and audio are inputs, all else is listed as skipped, and globs choose among the inputs."""

import json
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.media.container import FORMATS
from avf_curation.recipe import PlanConfig
from avf_curation.sources.globs import first_match
from avf_curation.sources.media_names import MEDIA_EXTENSIONS, describe_non_media, looks_like_media

# The first bytes of files as encoders write them; a folder may hold them under any name.
HEADS = {
    "mp4": b"\0\0\0\x20ftypisom\0\0\x02\0",
    "old mov": b"\0\0\x12\x34moov\0\0\0\x6cmvhd",
    "mkv": b"\x1aE\xdf\xa3\x01\0\0\0",
    "avi": b"RIFF\x10\0\0\0AVI LIST",
    "wav": b"RIFF\x10\0\0\0WAVEfmt ",
    "mpeg": b"\0\0\x01\xba\x44\0",
    "ts": (b"G" + b"\0" * 187) * 3,
    "m2ts": (b"\0\0\0\0G" + b"\0" * 187) * 3,
    "h264": b"\0\0\0\x01\x67\x64\0\x1f",
    "mp3": b"\xff\xfb\x90\x64",
    "flac": b"fLaC\0\0\0\x22",
}
OTHER_HEADS = {
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "heic": b"\0\0\0\x18ftypheic",
    "UTF-16 text": b"\xff\xfeh\0i\0",
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nGood morning\n",
    "G's": b"Good " * 200,
    "zip": b"PK\x03\x04",
    "empty": b"",
    "icon": b"\0\0\x01\0\x01\0",
}


@pytest.mark.parametrize("name", HEADS)
def test_media_is_known_by_its_first_bytes(name: str, tmp_path: Path) -> None:
    assert looks_like_media(HEADS[name])
    (tmp_path / "take.0001").write_bytes(HEADS[name])
    assert describe_non_media(tmp_path / "take.0001") is None


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_nothing_else_is_taken_for_media(name: str) -> None:
    assert not looks_like_media(OTHER_HEADS[name])


def test_every_format_that_is_opened_has_its_extension() -> None:
    same_name = set(FORMATS.split(",")) & MEDIA_EXTENSIONS
    assert {"mp4", "mov", "avi", "webm", "flv", "asf", "ogg", "wav", "flac", "mp3", "hevc", "mxf"} <= same_name
    # The rest are formats whose files have other extensions.
    others = {"matroska", "mpegts", "mpegvideo", "live_flv", "yuv4mpegpipe", "rawvideo"}
    assert set(FORMATS.split(",")) - MEDIA_EXTENSIONS == others


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """Return the number of planned videos, and path -> reason of the skipped files."""
    assert main(["plan", *words, "--weights", "none", "--json", "-", "-q"]) == 0
    output = json.loads(capsys.readouterr().out)
    reasons = {skipped["path"]: skipped["reason"] for skipped in output["skipped_inputs"]}
    return sum(row["videos"] for row in output["sources"]), reasons


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a student has it."""
    monkeypatch.chdir(tmp_path)
    video = encode_video(VideoScript(shots=(ShotScript(frames=3, speakers=(0,), seed=1),)))
    for name, content in {
        "in/interview.mp4": video,
        "in/interview.srt": b"1\n",
        "in/take.0001": video,
        "in/damaged.MP4": b"no video",
        "in/notes": b"call Anna",
        "in/.DS_Store": b"\0",
        "in/raw/interview.wav": HEADS["wav"],
        "in/raw/cover.jpg": OTHER_HEADS["jpeg"],
        "in/raw/movie.mp4.part": video,
        "in/raw/old.xyz": b"?",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_only_media_is_planned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count, reasons = plan(capsys, "--source", "s=in", "--out", "run")
    assert count == 4
    assert reasons == {
        ".DS_Store": "hidden",
        "interview.srt": "no video or audio: subtitles",
        "notes": "no video or audio: no extension",
        "raw/cover.jpg": "no video or audio: an image",
        "raw/movie.mp4.part": "no video or audio: an unfinished download",
        "raw/old.xyz": "no video or audio: unknown extension .xyz",
    }


def test_globs_choose_among_the_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count, reasons = plan(capsys, "--source", "s=in", "--out", "a", "--exclude", "raw", "--exclude", "*.0001")
    assert count == 2
    assert reasons["raw/interview.wav"] == "plan.exclude has 'raw'"
    assert reasons["take.0001"] == "plan.exclude has '*.0001'"
    count, reasons = plan(capsys, "--source", "s=in", "--out", "b", "--include", "*.mp4", "--include", "raw/**")
    assert count == 2
    assert reasons["damaged.MP4"] == "plan.include has no pattern for it"
    (folder / "mine.yaml").write_text("plan: {exclude: [raw]}\nsources: {t: {plan: {include: [take*]}}}\n")
    words = ("--source", "s=in", "--source", "t=in", "--recipe", "mine.yaml")
    assert plan(capsys, *words, "--out", "c")[0] == 3 + 1
    assert plan(capsys, *words, "--out", "d", "--include", "raw", "--exclude", "no*")[0] == 1 + 1
    (folder / "mine.yaml").write_text("plan:\n  exclude: '*.wav'\n")
    assert main(["plan", *words, "--out", "e"]) == 2
    assert "mine.yaml:2: plan.exclude: expected a list, got '*.wav'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "estimate"])
def test_every_command_that_plans_has_the_globs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "--include GLOB" in capsys.readouterr().out


def test_globs_leave_inputs_of_a_labelled_folder_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "file,label\ninterview.mp4,happy\nnotes,sad\ntake.0001,sad\nno.mp4,sad\n"
    (folder / "in/labels.csv").write_text(rows)
    count, reasons = plan(capsys, "--source", "s=in", "--out", "run", "--exclude", "take*")
    assert count == 2, "a file that the table names is an input, whatever its name"
    assert reasons["take.0001"] == "plan.exclude has 'take*'"
    assert reasons["labels.csv:5"] == "no such file: no.mp4"
    assert reasons["damaged.MP4"] == "labels.csv has no such row"
    assert "labels.csv" not in reasons


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.wav", "a/b/x.wav", True),
        ("*.wav", "x.WAV", False),
        ("raw", "a/raw/x.mp4", True),
        ("raw/", "raw/x.mp4", True),
        ("raw/*", "raw/x.mp4", True),
        ("raw/*", "a/raw/x.mp4", False),
        ("**/raw/*.mp4", "raw/x.mp4", True),
        ("**/raw/*.mp4", "a/b/raw/x.mp4", True),
        ("a/**", "a/b/c.mp4", True),
        ("a/*/c.mp4", "a/b/b/c.mp4", False),
        ("take_[12].mp4", "take_2.mp4", True),
        ("take_[!12].mp4", "take_2.mp4", False),
        ("x?.mp4", "x1.mp4", True),
        ("x.mp4", "xymp4", False),
        ("(a|b)+.mp4", "(a|b)+.mp4", True),
    ],
)
def test_globs_match_names_and_folders(glob: str, path: str, matches: bool) -> None:
    assert (first_match(path, [glob]) == glob) is matches


def test_the_default_recipe_takes_everything() -> None:
    assert PlanConfig(group_by="file", unit_videos=1, min_units=1, unit_mb=1.0).include == ()


def test_a_table_of_images_alone_names_the_command_for_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.JPG").write_bytes(b"a picture")
    (tmp_path / "in/labels.csv").write_text("file,expression\na.JPG,Happiness\n")
    assert main(["plan", "--source", f"mine={tmp_path / 'in'}", "--out", str(tmp_path / "run")]) == 2
    assert f"names images and no video, as a.JPG; curate face pictures with --source pictures={tmp_path / 'in'}" in (
        capsys.readouterr().err
    )
