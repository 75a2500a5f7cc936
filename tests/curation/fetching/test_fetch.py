"""avf-curate fetch against a web site of this machine: what comes, what is gone, what a stopped call leaves behind."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from avf_curation.cli.main import build_parser, main
from avf_curation.fetching.id_lists import CORPORA
from avf_curation.fetching.licences import LICENCES
from avf_curation.recipe import load_recipe
from avf_curation.sources.source_check import check_source
from support.video_site import VideoSite, video_site
from support.videos import make_video

pytest.importorskip("yt_dlp", reason="yt-dlp, the extra `fetch`, is not installed")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg cuts ranges")

GOOD, DASHED, GONE, BLOCKED, BROKEN = "Qa_3zKpLm-0", "-dashes--0_", "gone0000000", "blocked0000", "broken00000"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    path.write_bytes(make_video(frames=150))
    return path


@pytest.fixture
def site(video: Path) -> Iterator[VideoSite]:
    statuses = {BLOCKED: 451, BROKEN: 503}
    with video_site(VideoSite(videos={GOOD: video, DASHED: video}, statuses=statuses)) as site:
        yield site


def write_rows(folder: Path, *rows: str) -> Path:
    path = folder / "avspeech_train.csv"
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def words_of(source: str, ids: Path, out: Path, site: VideoSite, *options: str) -> list[str]:
    common = ["--accept-licence", "--pause", "0", "--url-template", site.template]
    return ["fetch", source, "--ids", str(ids), "--out", str(out), *common, *options]


def files_below(folder: Path) -> set[str]:
    """Return the files that a reader of the corpus sees."""
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file() and ".fetch" not in str(path)
    }


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / 1e6


def read_inputs(source: str, folder: Path) -> int:
    return check_source(source, folder, load_recipe().settings_for(source).plan).videos


@needs_ffmpeg
def test_ranges_of_avspeech_are_cut_and_read(tmp_path: Path, site: VideoSite) -> None:
    ids = write_rows(tmp_path, f"{GOOD},1.000000,3.500000,0.5,0.5", f"{DASHED},0.000000,2.000000,0.5,0.5")
    out = tmp_path / "out"
    assert main(words_of("avspeech", ids, out, site)) == 0
    cuts = {f"{GOOD}_001.000000-003.500000.mp4": 2.5, f"{DASHED}_000.000000-002.000000.mp4": 2.0}
    assert files_below(out) == {"avspeech_train.csv", *cuts}
    for name, length_s in cuts.items():
        assert duration_s(out / name) == pytest.approx(length_s, abs=0.1), "the range alone, cut at the frame"
    assert read_inputs("avspeech", out) == 2
    assert not (out / ".fetch" / "tmp").exists()


@needs_ffmpeg
def test_a_clip_of_celebvhq_and_one_of_voxceleb2_lie_where_their_readers_look(tmp_path: Path, site: VideoSite) -> None:
    box = {"top": 0.1, "bottom": 0.9, "left": 0.2, "right": 0.8}
    clip = {"ytb_id": GOOD, "duration": {"start_sec": 1, "end_sec": 2}, "bbox": box}
    info = tmp_path / "celebvhq_info.json"
    info.write_text(json.dumps({"clips": {f"{GOOD}_0": clip}}))
    assert main(words_of("celebvhq", info, tmp_path / "celeb", site)) == 0
    assert duration_s(tmp_path / f"celeb/downloaded_celebvhq/processed/{GOOD}_0.mp4") == pytest.approx(1, abs=0.1)
    assert read_inputs("celebvhq", tmp_path / "celeb") == 1

    track = tmp_path / f"txt/id00012/{GOOD}/00001.txt"
    track.parent.mkdir(parents=True)
    rows = "".join(f"{frame:06d} \t0.1 \t0.2 \t0.3 \t0.4 \n" for frame in range(25, 75))
    track.write_text(f"Identity : \tid00012\n\nFRAME \tX \tY \tW \tH \n{rows}")
    assert main(words_of("voxceleb2", tmp_path / "txt", tmp_path / "vox", site)) == 0
    assert duration_s(tmp_path / f"vox/dev/mp4/id00012/{GOOD}/00001.mp4") == pytest.approx(2, abs=0.1)
    check = check_source("voxceleb2", tmp_path / "vox", load_recipe().settings_for("voxceleb2").plan)
    assert (check.videos, check.speakers, check.bad_tracks) == (1, 1, {})
    assert main(words_of("voxceleb2", tmp_path / "txt", tmp_path / "x", site, "--complete")) == 2


def test_the_report_says_what_is_gone_and_the_next_call_asks_for_the_rest(
    tmp_path: Path, site: VideoSite, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = write_rows(
        tmp_path, *(f"{name},{start},{start + 1},0.5,0.5" for name in (GONE, BLOCKED, BROKEN, GOOD) for start in (0, 2))
    )
    out = tmp_path / "out"
    assert main(words_of("avspeech", ids, out, site, "--complete", "--json", "-")) == 2, "the network's faults are left"
    report = json.loads(capsys.readouterr().out)
    assert report["outcomes"] == {"removed": 1, "geo-blocked": 1, "network": 1, "fetched": 1}
    assert report["missing"][f"{GONE}.mp4"]["outcome"] == "removed"
    site.videos[BROKEN] = video
    asked = len(site.asked)
    assert main(words_of("avspeech", ids, out, site, "--complete")) == 0
    assert {*site.asked[asked:]} == {BROKEN}, "neither what is there nor what is gone"
    (out / f"{GOOD}.mp4").unlink()
    asked = len(site.asked)
    assert main(words_of("avspeech", ids, out, site, "--complete")) == 0
    assert not site.asked[asked:], "the archive knows that it was there"
    assert main(words_of("avspeech", ids, out, site, "--complete", "--again")) == 0
    assert (out / f"{GOOD}.mp4").is_file()
    assert {*site.asked[asked:]} == {GONE, BLOCKED, GOOD}


@needs_ffmpeg
def test_a_video_that_is_gone_is_asked_for_once(tmp_path: Path, site: VideoSite) -> None:
    ids = write_rows(tmp_path, *(f"{GONE},{start},{start + 1},0.5,0.5" for start in range(5)))
    assert main(words_of("avspeech", ids, tmp_path / "out", site)) == 0
    archive = (tmp_path / "out/.fetch/archive.tsv").read_text()
    assert archive.count("removed\t") == 5
    once = site.times_asked(GONE)
    site.asked.clear()
    assert main(words_of("avspeech", ids, tmp_path / "out", site, "--again", "--limit", "1")) == 0
    assert site.times_asked(GONE) == once


def test_a_site_that_asks_to_stop_and_a_network_that_is_away_end_the_call(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = [f"busy{number:07d}" for number in range(3)]
    site.statuses |= dict.fromkeys(busy, 429)
    ids = write_rows(tmp_path, *(f"{name},0,1,0.5,0.5" for name in busy))
    assert main(words_of("avspeech", ids, tmp_path / "a", site, "--complete")) == 2
    assert {*site.asked} == {busy[0]}
    assert "the site asks to stop" in capsys.readouterr().err
    away = [f"away{number:07d}" for number in range(8)]
    site.statuses |= dict.fromkeys(away, 503)
    (tmp_path / "avspeech_train.csv").unlink()
    ids = write_rows(tmp_path, *(f"{name},0,1,0.5,0.5" for name in away))
    assert main(words_of("avspeech", ids, tmp_path / "b", site, "--complete")) == 2
    assert {*site.asked} == {busy[0], *away[:5]}
    assert "5 faults of the network in a row" in capsys.readouterr().err


def test_a_hostile_list_names_no_file_and_no_address(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = [
        "../../../x/",
        "a/b/c/d/e/f",
        "...........",
        "http://a.b/",
        "--exec=true",
        "aaaaaaaaaa\x1b",
        "ääääääääääа",
    ]
    bad = [f"{name},0,1,0.5,0.5" for name in hostile]
    bad += [f"{GOOD},5,1,0.5,0.5", f"{GOOD},1,1,0.5,0.5", f"{GOOD},nan,1,0.5,0.5", f"{GOOD},-1,1,0.5,0.5", "x,y"]
    row = f"{GOOD},0,1,0.5,0.5"
    ids = write_rows(tmp_path, *bad, row, row)
    out = tmp_path / "deep" / "out"
    assert main(words_of("avspeech", ids, out, site, "--complete", "--json", "-")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 1
    assert len(report["skipped_rows"]) == len(bad) + 1, "the second of two equal rows too"
    assert {*site.asked} == {GOOD}
    assert files_below(tmp_path) == {
        "avspeech_train.csv",
        "deep/out/avspeech_train.csv",
        f"deep/out/{GOOD}.mp4",
    }


def test_a_stopped_call_leaves_nothing_by_halves_and_the_next_goes_on(tmp_path: Path, site: VideoSite) -> None:
    site.stalls.add(DASHED)
    ids = write_rows(tmp_path, f"{GOOD},0,1,0.5,0.5", f"{DASHED},0,1,0.5,0.5")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "avf_curation.cli.main", *words_of("avspeech", ids, out, site, "--complete")]
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        site.stalled.clear()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert site.stalled.wait(60)
        os.kill(process.pid, number)
        assert process.wait(60) == status
        assert files_below(out) == {"avspeech_train.csv", f"{GOOD}.mp4"}
        assert (out / ".fetch" / "tmp").exists() == (number == signal.SIGKILL)
    site.done.set()
    site.stalls.clear()
    asked = site.times_asked(GOOD)
    assert main(words_of("avspeech", ids, out, site, "--complete")) == 0
    assert site.times_asked(GOOD) == asked, "what is there is not downloaded again"
    assert files_below(out) == {"avspeech_train.csv", f"{GOOD}.mp4", f"{DASHED}.mp4"}
    assert not (out / ".fetch" / "tmp").exists()
    assert read_inputs("avspeech", out) == 2


def test_without_consent_the_terms_are_shown_and_nothing_is_asked_for(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = write_rows(tmp_path, f"{GOOD},0,1,0.5,0.5")
    words = [word for word in words_of("avspeech", ids, tmp_path / "out", site) if word != "--accept-licence"]
    assert main(words) == 2
    assert "Creative Commons Attribution 4.0" in (error := capsys.readouterr().err)
    assert "give --accept-licence" in error
    assert not site.asked
    assert not (tmp_path / "out").exists()


def test_each_corpus_has_a_reader_and_terms() -> None:
    assert tuple(LICENCES) == CORPORA
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert commands.choices["fetch"]._positionals._group_actions[0].choices == CORPORA


def test_another_list_and_a_list_without_a_row_are_refused(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "avspeech_train.csv").write_text("mine\n")
    ids = write_rows(tmp_path, f"{GOOD},0,1,0.5,0.5")
    assert main(words_of("avspeech", ids, out, site, "--complete")) == 2
    assert "is another list than" in capsys.readouterr().err
    assert (out / "avspeech_train.csv").read_text() == "mine\n"
    for content in ("", "no,table\n", '{"clips": {}}'):
        ids.write_text(content)
        for source in ("avspeech", "celebvhq", "voxceleb2"):
            assert main(words_of(source, ids, tmp_path / "new", site)) == 2, (source, content)
            assert f"--ids {ids}" in capsys.readouterr().err or source == "celebvhq"
    assert not (tmp_path / "new").exists()
    assert not site.asked


def test_ranges_without_ffmpeg_are_refused(
    tmp_path: Path, site: VideoSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = write_rows(tmp_path, f"{GOOD},0,1,0.5,0.5")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(words_of("avspeech", ids, tmp_path / "out", site)) == 2
    assert "install them (apt-get install ffmpeg), or download complete videos" in capsys.readouterr().err
    assert main(words_of("avspeech", ids, tmp_path / "out", site, "--complete")) == 0
    assert (tmp_path / f"out/{GOOD}.mp4").is_file()


def test_without_yt_dlp_the_message_names_the_extra(
    tmp_path: Path, site: VideoSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = write_rows(tmp_path, f"{GOOD},0,1,0.5,0.5")
    for name in [name for name in sys.modules if name.partition(".")[0] == "yt_dlp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(), *sys.meta_path])
    assert main(words_of("avspeech", ids, tmp_path / "out", site)) == 2
    assert "pip install 'avf-foundry[fetch]'" in capsys.readouterr().err


class _Absent:
    """Makes yt-dlp a package that is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "yt_dlp":
            raise ModuleNotFoundError("No module named 'yt_dlp'", name="yt_dlp")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--pause", "-1"), ("--pause", "nan"), ("--rate", "x"), ("--limit", "0"), ("--url-template", "file:///{id}"),
     ("--url-template", "http://a/"), ("--url-template", "http://{id}/{id}")],
)  # fmt: skip
def test_bad_values_are_refused(option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fetch", "avspeech", "--ids", "x", "--out", str(tmp_path / "out"), option, value])
    assert f"argument {option}: {value}: must" in capsys.readouterr().err
