"""A folder that cannot be listed never disappears from a plan without a word."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.reports.live_page import render_live_page
from avf_curation.runs.live_summary import LiveReader
from avf_curation.runs.status import run_status
from avf_curation.sources import folder as folder_source
from avf_curation.sources.registry import list_inputs
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system import storage_faults
from avf_shards.text import describe_unreadable
from support.failing_reads import failing_reads


@contextmanager
def failing_listing(folder: Path, number: int = errno.EIO) -> Iterator[None]:
    """Let listing one folder fail inside the block."""
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and os.fspath(path) == str(folder):
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("in/a/1.mp4", "in/b/2.mp4", "in/c/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"not a film")
    return tmp_path / "in"


def plan(source: Path, out: Path, *options: str) -> int:
    return main(["plan", "--source", f"s={source}", "--out", str(out), "--weights", str(out), *options])


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_an_unreadable_folder_stops_the_plan_with_its_name(
    source: Path, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing_listing(source / "b", number):
        assert plan(source, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert f"s: b: cannot be read ({os.strerror(number)})" in message
    assert "--allow-unreadable" in message
    assert not RunFolder(tmp_path / "run").attempts()
    assert plan(source, tmp_path / "run") == 0


def test_an_unreadable_folder_that_is_allowed_is_counted_everywhere(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing_listing(source / "b"):
        assert plan(source, tmp_path / "run", "--allow-unreadable") == 0
    sentence = "1 folder or file could not be read when the run was planned: the plan lacks its videos"
    assert sentence in capsys.readouterr().out
    run = RunFolder(tmp_path / "run")
    assert run.plan_summary().videos == 2
    assert run_status(run).unreadable == 1
    assert main(["status", str(run.root)]) == 0
    assert sentence in capsys.readouterr().out
    assert main(["audit", str(run.root)]) == 0
    assert sentence in " ".join(capsys.readouterr().out.split())
    assert summarize_run(run).as_json()["unreadable"] == 1
    assert sentence in render_live_page(LiveReader(run).summary(), "run")


@pytest.mark.parametrize("options", [(), ("--allow-unreadable",)])
@pytest.mark.parametrize("function", ["scandir", "stat"])
def test_an_unreadable_source_stops_the_plan_whatever_is_allowed(
    source: Path, tmp_path: Path, function: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    module = SimpleNamespace(**vars(os))
    real = getattr(os, function)

    def fail(path: Any) -> Any:
        if os.fspath(path) == str(source):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    setattr(module, function, fail)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_source, "os", module)  # so that the command's own check of the source passes
        assert plan(source, tmp_path / "run", *options) == 2
    assert f"--source s={source}: the folder cannot be read (Input/output error); mend" in capsys.readouterr().err
    assert not RunFolder(tmp_path / "run").attempts()


@pytest.mark.parametrize("name", ["take", "take.0001", "take.txt"])
def test_a_file_whose_kind_cannot_be_read_is_named_and_can_be_allowed(
    source: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extension of a film the first bytes say whether a file is one."""
    (source / "a" / name).write_bytes(b"words")
    with failing_reads(source / "a" / name, lambda count: True):
        assert plan(source, tmp_path / "run") == 2
        assert f"s: a/{name}: cannot be read (Input/output error)" in capsys.readouterr().err
        assert plan(source, tmp_path / "run", "--allow-unreadable") == 0
    assert RunFolder(tmp_path / "run").plan_summary().videos == 3
    assert RunFolder(tmp_path / "run").count_unreadable() == 1


def test_the_sentence_counts_in_the_plural() -> None:
    assert describe_unreadable(0) == ""
    assert describe_unreadable(1200).startswith("1,200 folders or files could not be read")


def test_a_file_whose_size_cannot_be_told_stops_the_plan(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "c" / "loop.mp4").symlink_to(source / "c" / "loop.mp4")  # the file's own fault: an input that fails
    if os.geteuid() != 0:
        (source / "c").chmod(0o400)  # names can be read, sizes cannot
        assert plan(source, tmp_path / "run") == 2
        assert "c/3.mp4: cannot be read" in capsys.readouterr().err
        (source / "c").chmod(0o700)
    assert plan(source, tmp_path / "run") == 0
    assert RunFolder(tmp_path / "run").plan_summary().videos == 4


@pytest.mark.parametrize(
    ("name", "folders", "failing"),
    [
        ("cncvs", ["news/n001/video", "news/n001/audio"], "news/n001/video"),
        ("voxceleb2", ["dev/mp4/id00012/21Uxsk56VDQ"], "dev/mp4/id00012"),
        ("avcaffe", ["data/aiim001"], "data"),
    ],
)
def test_every_reader_of_a_corpus_notes_the_folder(name: str, folders: list[str], failing: str, tmp_path: Path) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    skipped: list[Any] = []
    with failing_listing(tmp_path / failing):
        try:
            list(list_inputs(name, tmp_path, load_recipe().defaults.plan, skipped))
        except UserError:
            return  # the corpus is not complete enough for a plan: nothing is lost silently either
    assert failing in {item.path for item in skipped if item.kind == "unreadable"}


def test_a_label_table_that_cannot_be_read_stops_the_plan(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "labels.csv").write_text("file,label\na/1.mp4,happy\n")
    real = storage_faults.open_plain

    def open_plain(path: str | Path, flags: int) -> int:
        if Path(path).name == "labels.csv":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, flags)

    monkeypatch.setattr(storage_faults, "open_plain", open_plain)
    monkeypatch.setattr(storage_faults, "RETRY_PAUSES_S", (0.0,))
    assert plan(source, tmp_path / "run") == 2
    assert "labels.csv: EIO, Input/output error; no plan was made" in capsys.readouterr().err


def test_the_answer_of_plan_lists_the_folder(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with failing_listing(source / "b"):
        assert plan(source, tmp_path / "run", "--allow-unreadable", "--json", "-") == 0
    skipped = json.loads(capsys.readouterr().out)["skipped_inputs"]
    assert [item["kind"] for item in skipped] == ["unreadable"]
