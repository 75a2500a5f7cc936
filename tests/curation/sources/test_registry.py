"""Corpora in their published layouts: every file and every row is an input, or is skipped with its reason."""

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.runs.plan import parse_sources
from avf_curation.sources import mafw
from avf_curation.sources.face_track import parse_face_track, read_face_track
from avf_curation.sources.own_corpora import CORPORA
from avf_curation.sources.plugins import make_corpus_reader
from avf_curation.sources.registry import corpus_reader, list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin
from support import corpora
from support.curation_runs import make_recipe

PLAN = make_recipe().defaults.plan


def list_corpus(name: str, root: Path) -> tuple[dict[str, Video], Counter[str], list[SkippedInput]]:
    skipped_inputs: list[SkippedInput] = []
    videos = list(list_inputs(name, root, PLAN, skipped_inputs))
    assert len({video.video_id for video in videos}) == len(videos)
    return (
        {video.video_id: video for video in videos},
        Counter(skipped.kind for skipped in skipped_inputs),
        skipped_inputs,
    )


def test_voxceleb2_layout_is_read(tmp_path: Path) -> None:
    videos, kinds, _ = list_corpus("voxceleb2", corpora.voxceleb2(tmp_path))
    assert set(videos) == {"id00012/21Uxsk56VDQ/00001", "id00012/21Uxsk56VDQ/00002", "id00017/-abcDEF_12x/00001"}
    first, second = videos["id00012/21Uxsk56VDQ/00001"], videos["id00012/21Uxsk56VDQ/00002"]
    assert (first.speaker, first.group_id) == ("id00012", "id00012/21Uxsk56VDQ")
    assert first.sound_path == "dev/aac/id00012/21Uxsk56VDQ/00001.m4a"
    assert first.own_sound_first
    assert second.sound_path is None
    assert first.origin == Origin(id="21Uxsk56VDQ")
    assert kinds == {"excluded": 1, "missing": 2, "unexpected": 1, "packed": 1}


def test_a_single_split_of_voxceleb2_is_read(tmp_path: Path) -> None:
    videos, _, _ = list_corpus("voxceleb2", corpora.voxceleb2(tmp_path) / "test")
    assert list(videos) == ["id00099/21Uxsk56VDQ/00001"]


def test_a_face_track_gives_the_time_range_and_the_median_box() -> None:
    origin = parse_face_track(corpora.TRACK, "21Uxsk56VDQ")
    assert (origin.start_s, origin.stop_s) == (149 / 25, 249 / 25)
    assert origin.box == pytest.approx((0.376, 0.166, 0.603, 0.569))
    pixels = parse_face_track(corpora.TRACK.replace("0.376", "376"), "21Uxsk56VDQ")
    assert pixels.box is None
    assert pixels.start_s == 149 / 25
    with pytest.raises(ValueError, match="FRAME"):
        parse_face_track("nothing", "x")


def test_no_more_than_10_mb_of_a_face_track_are_read(tmp_path: Path) -> None:
    path = tmp_path / "track.txt"
    path.write_text(corpora.TRACK + " " * 10_000_000 + "\n000900 0.3 0.1 0.2 0.4\n")
    assert read_face_track(path, "x") == parse_face_track(corpora.TRACK, "x")


@pytest.mark.parametrize("frame", ["9" * 400, "-1", "9" * 12])
def test_a_frame_that_no_video_has_is_a_bad_face_track(frame: str) -> None:
    with pytest.raises(ValueError, match="line 8 has no frame number of a video"):
        parse_face_track(corpora.TRACK.replace("000149", frame), "x")


def test_avspeech_layout_is_read(tmp_path: Path) -> None:
    videos, kinds, skipped_inputs = list_corpus("avspeech", corpora.avspeech(tmp_path))
    assert set(videos) == {
        "Qa_3zKpLm-0_30.030000-36.503133",
        "-_startsodd_1.000000-5.000000",
        "wholefilm___2.000000-4.000000",
        "numbered____10.000000-14.000000",
    }
    video = videos["wholefilm___2.000000-4.000000"]
    assert (video.path, video.start_s, video.stop_s) == ("more/wholefilm__.mkv", 2.0, 4.0)
    assert video.origin == Origin(id="wholefilm__", start_s=2.0, stop_s=4.0, box=(0.25, 0.75, 0.25, 0.75))
    assert videos["Qa_3zKpLm-0_30.030000-36.503133"].start_s is None
    assert kinds == {"duplicate": 1, "missing": 2, "bad_row": 4, "unlisted": 2, "unexpected": 1}
    missing = {skipped.path: skipped.reason for skipped in skipped_inputs if skipped.kind == "missing"}
    assert "no longer on YouTube" in missing["gonegonegon_0.000000-3.000000"]
    assert "other rows" in missing["Qa_3zKpLm-0_90.000000-95.500000"]


def test_mer2024_layout_is_read(tmp_path: Path) -> None:
    videos, kinds, _ = list_corpus("mer2024", corpora.mer2024(tmp_path))
    assert set(videos) == {"sample_00001001", "sample_00001002", "samplenew_00001003"}
    assert {video.language for video in videos.values()} == {"zh"}
    assert kinds == {"excluded": 1, "missing": 1, "bad_row": 1, "duplicate": 1}


def test_cncvs_layout_is_read(tmp_path: Path) -> None:
    videos, kinds, _ = list_corpus("cncvs", corpora.cncvs(tmp_path))
    assert set(videos) == {"n001_00001_001", "n001_00001_002", "s00001_00003_001", "id1000-interview-01-001"}
    news = videos["n001_00001_001"]
    assert (news.speaker, news.group_id, news.language) == ("n001", "n001_00001", "zh")
    assert news.sound_path == "cncvs/news/n001/audio/n001_00001_001.wav"
    assert not news.own_sound_first
    celeb = videos["id1000-interview-01-001"]
    assert celeb.group_id == "id1000-interview-01"
    assert celeb.origin == Origin(id="https://example.org/v", start_s=62.2, stop_s=66.2)
    # sound without a clip, a speaker without audio/, a row of metadata without a clip; a clip of another speaker
    assert kinds == {"excluded": 1, "missing": 3, "unexpected": 1, "bad_row": 1}


def test_audio_only_cn_celeb_is_refused(tmp_path: Path) -> None:
    corpora.write_file(tmp_path, "CN-Celeb_flac/data/id00000/singing-01-001.flac")
    with pytest.raises(UserError, match="audio without video"):
        list_corpus("cncvs", tmp_path)


@pytest.mark.parametrize("top", ["meta_info", "mete_info"])
def test_celebvhq_layout_is_read(tmp_path: Path, top: str) -> None:
    videos, kinds, _ = list_corpus("celebvhq", corpora.celebvhq(tmp_path, top))
    assert set(videos) == {"M2Ohb0FAaJU_1", "M2Ohb0FAaJU_2", "_0tfABCDE_q_0"}
    video = videos["M2Ohb0FAaJU_2"]
    assert (video.path, video.start_s, video.stop_s) == ("downloaded_celebvhq/raw/M2Ohb0FAaJU.mp4", 4.0, 5.5)
    assert video.group_id == videos["M2Ohb0FAaJU_1"].group_id == "M2Ohb0FAaJU"
    cut = videos["_0tfABCDE_q_0"]
    assert (cut.group_id, cut.start_s) == ("_0tfABCDE_q", None)
    assert cut.origin == Origin(id="_0tfABCDE_q", start_s=7.0, stop_s=9.0, box=(0.1964, 0.0, 0.6922, 0.8815))
    assert kinds == {"duplicate": 1, "missing": 1, "bad_row": 2, "unlisted": 1}


def test_celebvhq_with_clips_in_the_root_folder_is_read(tmp_path: Path) -> None:
    corpora.write_file(
        tmp_path, "celebvhq_info.json", json.dumps({"M2Ohb0FAaJU_1": corpora.make_celebvhq_entry("M2Ohb0FAaJU", 1, 3)})
    )
    corpora.write_file(tmp_path, "raw/M2Ohb0FAaJU.mp4")
    assert set(list_corpus("celebvhq", tmp_path)[0]) == {"M2Ohb0FAaJU_1"}


@pytest.mark.parametrize("name", ["voxceleb2", "avspeech", "mer2024", "cncvs", "celebvhq"])
def test_another_layout_is_refused_by_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "some.mp4").write_bytes(b"x")
    assert main(["sources", "check", f"{name}={tmp_path}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


MAKE: dict[str, Callable[[Path], Path]] = {
    name: getattr(corpora, name) for name in ("voxceleb2", "avspeech", "mer2024", "cncvs", "celebvhq")
}


def test_check_lists_present_and_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"{name}={make(tmp_path / name)}" for name, make in MAKE.items()]
    assert main(["sources", "check", *arguments]) == 0
    output = capsys.readouterr().out
    assert "voxceleb2: 3 videos of the owners' 1,092,009" in output
    assert "owners' face tracks that cannot be read: 1" in output
    assert "gonegonegon_0.000000-3.000000: no file of this video: not downloaded, or no longer on YouTube" in output
    assert main(["sources", "check", *arguments, "--json", "-"]) == 0
    reports = {report["source"]: report for report in json.loads(capsys.readouterr().out)}
    assert reports["celebvhq"]["ranges"] == 2
    assert reports["cncvs"]["kinds"]["missing"] == 3


def test_missing_files_are_recorded_in_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [word for name, make in MAKE.items() for word in ("--source", f"{name}={make(tmp_path / name)}")]
    assert main(["plan", *arguments, "--out", str(tmp_path / "run"), "--json", "-"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert {row["source"]: row["videos"] for row in output["sources"]} == {
        "voxceleb2": 3,
        "avspeech": 4,
        "mer2024": 3,
        "cncvs": 4,
        "celebvhq": 3,
    }
    assert sum(skipped["kind"] == "missing" for skipped in output["skipped_inputs"]) == 9


def test_a_corpus_keeps_its_name_when_its_module_is_renamed(tmp_path: Path) -> None:
    assert mafw.__file__ is not None
    copy = tmp_path / "another_file_name.py"
    copy.write_bytes(Path(mafw.__file__).read_bytes())
    spec = importlib.util.spec_from_file_location("another_file_name", copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reader = make_corpus_reader(module)
    built_in = corpus_reader("mafw")
    assert built_in is not None
    assert (reader.name, reader.about, reader.layout) == ("mafw", built_in.about, built_in.layout)


def test_corpus_names_are_unique() -> None:
    assert len({corpus.name for corpus in CORPORA}) == len(CORPORA) == 29
    assert all(corpus.about and corpus.layout for corpus in CORPORA)
    assert all(corpus_reader(corpus.name) is corpus for corpus in CORPORA)


@pytest.mark.parametrize(
    ("name", "corpus"),
    [
        ("mer2O24", "mer2024"),
        ("mer_2024", "mer2024"),
        ("mer2024_unlabelled", "mer2024"),
        ("voxceleb-2", "voxceleb2"),
        ("VoxCeleb2", "voxceleb2"),
        ("voxceleb", "voxceleb2"),
        ("cremad", "crema_d"),
        ("iemocaps", "iemocap"),
    ],
)
def test_a_misspelt_corpus_is_not_read_as_a_plain_folder(name: str, corpus: str, tmp_path: Path) -> None:
    (tmp_path / "some.mp4").write_bytes(b"x")
    with pytest.raises(UserError, match=rf"did you mean {corpus}.*Known corpora are .*--source my_videos=DIR"):
        list(list_inputs(name, tmp_path, PLAN, []))
    with pytest.raises(UserError, match=rf"did you mean {corpus}"):
        parse_sources([f"{name}={tmp_path}"])


@pytest.mark.parametrize("name", ["speech", "plain_mer2024", "interviews", "studio", "s", "merry", "music", "sample"])
def test_any_other_name_is_a_plain_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "some.mp4").write_bytes(b"x")
    assert corpus_reader(name) is None
    assert [video.path for video in list_inputs(name, tmp_path, PLAN, [])] == ["some.mp4"]
