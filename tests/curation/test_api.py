"""Curation from Python: a finished run answers what the command line answers, and the same call continues a run."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import avf_curation
import pytest
from avf_curation.cli.main import main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.errors import UserError

CHEAP = {"gates": {"sync": "skip", "quality": "skip"}, "faces": {"backend": "dlib"}}


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video of a drawn talker and one without a face."""
    folder = tmp_path_factory.mktemp("talk")
    (folder / "talk.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=100),))))
    (folder / "empty.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=75, speakers=()),))))
    return folder


@pytest.fixture(scope="module")
def finished(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> avf_curation.CurationRun:
    return avf_curation.run({"own": talk}, tmp_path_factory.mktemp("out") / "run", CHEAP)


def test_a_run_answers_as_the_command_line_does(
    finished: avf_curation.CurationRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(finished.folder), "--json", str(tmp_path / "audit.json")]) == 0
    answer = json.loads((tmp_path / "audit.json").read_text())
    assert finished.audit().totals.items() <= answer["totals"].items()
    assert not finished.audit().accounting_errors
    capsys.readouterr()
    assert main(["audit", str(finished.folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in str(finished).splitlines()] == [line.split() for line in printed]
    (clip,) = finished.clips()
    assert (clip.source, clip.video, clip.start_s) == ("own", "talk.mp4", 0.0)
    assert [decision.status for decision in finished.decisions()] == ["rejected", "kept"]


def test_its_clips_are_packed_and_its_page_is_written(finished: avf_curation.CurationRun, tmp_path: Path) -> None:
    shards = finished.pack(tmp_path / "shards")
    assert (shards / "manifest.json").exists()
    assert finished.write_page(tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_finished_run_is_returned_and_other_settings_are_refused(
    finished: avf_curation.CurationRun, talk: Path
) -> None:
    again = avf_curation.run({"own": talk}, finished.folder, CHEAP)
    assert again.decisions() == finished.decisions()
    with pytest.raises(UserError, match="holds a run with other settings"):
        avf_curation.run({"own": talk}, finished.folder)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [({"sync": {"min_confidense": 4}}, "min_confidense"), ("no_such_recipe.yaml", "no_such_recipe.yaml")],
)
def test_settings_that_do_not_exist_are_named(
    recipe: dict[str, Any] | str, message: str, talk: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        avf_curation.run({"own": talk}, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own=.*nowhere: no such folder"):
        avf_curation.run({"own": tmp_path / "nowhere"}, tmp_path / "run")


def test_an_interrupt_ends_a_run_that_the_same_call_continues(
    finished: avf_curation.CurationRun, talk: Path, tmp_path: Path
) -> None:
    def interrupt(progress: avf_curation.Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # the main thread is this one: the handler raises in it

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        avf_curation.run({"own": talk}, tmp_path / "run", CHEAP, on_progress=interrupt)
    continued = avf_curation.run({"own": talk}, tmp_path / "run", CHEAP)
    assert continued.decisions() == finished.decisions()


def test_progress_is_written_line_by_line_where_no_terminal_is(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avf_curation.run({"own": talk}, tmp_path / "run", CHEAP)
    assert "2/2 videos, 1 kept, 1 rejected, 0 failed" in capsys.readouterr().err
