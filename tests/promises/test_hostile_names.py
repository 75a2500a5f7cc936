"""Promise: no name from outside steers a terminal or begins a line, in any output or log of the three programs."""

import argparse
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.cli.main import main as curate_main
from avf_curation.console.terminal import make_console as curation_console
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.cli.common import run_command
from avf_shards.cli.logging_setup import setup_worker_logging
from avf_shards.cli.main import main as shards_main
from avf_training.cli.main import main as training_main
from avf_training.console.terminal import make_console as training_console
from rich.table import Table
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.shard_folders import read_clips
from support.stages import single_step

FORGED = "avf-curate: all is well"
NAME = f"a\x1b[2J\r\b\x9b31m\u202egpj\u2028\n{FORGED}.mp4"
RAW = {"\x1b", "\r", "\b", "\x9b", "\u202e", "\u2028"}


def check_plain(text: str) -> None:
    """Assert that text shows none of the name's control characters, and no line that begins as the name would."""
    assert not RAW & set(text), text
    assert not any(line.startswith(FORGED) for line in text.splitlines()), text


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a file, a skipped file and a folder with such names, and its shards in `shards`."""
    folder = tmp_path_factory.mktemp("hostile")
    source = folder / "in"
    (source / NAME.replace(".mp4", "")).mkdir(parents=True)
    (source / NAME.replace(".mp4", "") / NAME).write_bytes(b"input")
    (source / NAME).write_bytes(b"other input")
    (source / NAME.replace("mp4", "m3u8")).write_text("a list")
    options = RunOptions(engine="inline", stages=single_step(stub_curate))
    run = curate(make_recipe("silence.speech_backend=none"), EMBEDDED, {"made": source}, folder / "run", options)
    assert shards_main(["pack", str(run.root), "--out", str(folder / "shards"), "-q"]) == 0
    return folder


def clip_key(folder: Path) -> str:
    return next(iter(read_clips(folder / "shards")))


COMMANDS: dict[str, tuple[Callable[[list[str]], int], Callable[[Path], list[str]]]] = {
    "status": (curate_main, lambda f: ["status", f"{f}/run"]),
    "audit": (curate_main, lambda f: ["audit", f"{f}/run"]),
    "explain": (curate_main, lambda f: ["explain", f"{f}/run", NAME]),
    "explain json": (curate_main, lambda f: ["explain", f"{f}/run", NAME, "--json", "-"]),
    "verify": (curate_main, lambda f: ["verify", f"{f}/run"]),
    "what-if": (curate_main, lambda f: ["what-if", f"{f}/run", "--set", "scenes.min_s=2"]),
    "sources check": (curate_main, lambda f: ["sources", "check", f"made={f}/in"]),
    "sources check json": (curate_main, lambda f: ["sources", "check", f"made={f}/in", "--json", "-"]),
    "plan": (curate_main, lambda f: ["plan", "--source", f"made={f}/in", "--out", f"{f}/planned", "-vv"]),
    "plan json log": (
        curate_main,
        lambda f: ["plan", "--source", f"m={f}/in", "--out", f"{f}/p2", "--log-json", "-vv"],
    ),
    "no such run": (curate_main, lambda f: ["audit", f"{f}/{NAME}"]),
    "no such video": (curate_main, lambda f: ["explain", f"{f}/run", f"{NAME}x"]),
    "no such source": (curate_main, lambda f: ["plan", "--source", f"made={f}/{NAME}", "--out", f"{f}/p3"]),
    "unknown option": (curate_main, lambda f: ["audit", f"{f}/run", f"--{NAME}"]),
    "export": (curate_main, lambda f: ["export", f"{f}/run", "--fiftyone", "--out", f"{f}/export"]),
    "ls": (shards_main, lambda f: ["ls", f"{f}/shards", "--keys"]),
    "show": (shards_main, lambda f: ["show", f"{f}/shards", clip_key(f)]),
    "lineage": (shards_main, lambda f: ["lineage", f"{f}/shards", clip_key(f)]),
    "lineage json": (shards_main, lambda f: ["lineage", f"{f}/shards", clip_key(f), "--json", "-"]),
    "no such shards": (shards_main, lambda f: ["verify", f"{f}/{NAME}"]),
    "no such clip": (shards_main, lambda f: ["show", f"{f}/shards", NAME]),
    "describe": (training_main, lambda f: ["describe", NAME]),
    "no such model": (training_main, lambda f: ["predict", f"{f}/shards", "--model", f"{f}/{NAME}"]),
    "no such recipe": (training_main, lambda f: ["pretrain", "--recipe", NAME, "--shards", f"{f}/{NAME}"]),
    "unknown command": (training_main, lambda f: [NAME]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_steers_the_terminal(command: str, run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main, words = COMMANDS[command]
    with contextlib.suppress(SystemExit):
        main(words(run_folder))
    output = capfd.readouterr()
    assert output.out or output.err
    check_plain(output.out)
    check_plain(output.err)
    assert "Traceback" not in output.err
    if command.endswith(" json") or command == "show":
        json.loads(output.out)


@pytest.mark.parametrize("make_console", [curation_console, training_console])
def test_a_table_and_a_bare_print_escape_what_nobody_escaped(
    make_console: Callable[[], object], capfd: pytest.CaptureFixture[str]
) -> None:
    def show(options: argparse.Namespace) -> int:
        table = Table(NAME)
        table.add_row(NAME)
        for printed in (table, f"{NAME} {NAME}"):
            make_console().print(printed)  # type: ignore[attr-defined]  # a console of either package
        print(NAME.replace("\n", ""))
        logging.getLogger("avf_shards.cli").error("%s", NAME)
        return 0

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=show, quiet=False, log_json=False)
    assert run_command(parser, [], stopped="") == 0
    output = capfd.readouterr()
    assert not RAW & set(output.out)
    check_plain(output.err)
    assert "\\x1b[2J" in output.out


def test_the_log_of_a_worker_escapes_names(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "root", root)
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    setup_worker_logging()
    root.error("%s", NAME)
    check_plain(text.getvalue())
    assert "\\u202e" in text.getvalue()


@pytest.mark.parametrize("words", [["audit"], ["explain"], ["audit", "--json", "-"], ["explain", "--json", "-"]])
def test_a_terminal_that_is_not_utf8_shows_escapes(words: list[str], run_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "ünï 视频.mp4").write_bytes(b"input")
    options = RunOptions(engine="inline", stages=single_step(stub_curate))
    run = curate(make_recipe("silence.speech_backend=none"), EMBEDDED, {"made": source}, tmp_path / "run", options)
    command, *others = words
    video = ["ünï 视频.mp4"] if command == "explain" else []
    code = "import sys; from avf_curation.cli.main import main; sys.exit(main(sys.argv[1:]))"
    shell = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code, command, str(run.root), *video, *others],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    assert shell.stdout.isascii()
    if others:
        json.loads(shell.stdout)


def test_a_path_that_is_not_utf8_is_refused_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)
    for main, words in (
        (curate_main, ["plan", "--source", f"made={tmp_path}", "--out", f"{folder}/run"]),
        (curate_main, ["audit", folder]),
        (shards_main, ["pack", folder, "--out", f"{folder}/shards"]),
        (training_main, ["predict", folder, "--model", folder]),
    ):
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        message = capfd.readouterr().err
        assert status == 2, words
        assert "is not UTF-8" in message, words
        assert "Traceback" not in message
