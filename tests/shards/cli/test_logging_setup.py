"""Log messages on standard error: levels, formats, and the state before and after a command."""

import argparse
import json
import logging
import os
from pathlib import Path

import pytest
from avf_shards.cli.logging_setup import LEVEL_VARIABLE, add_logging_options, setup_logging
from avf_shards.cli.main import main
from avf_shards.system.run_lock import WAITING_LOG

OURS, COMMAND, LIBRARY = (
    logging.getLogger(name) for name in ("avf_curation.runs.plan", "avf_curation.cli.run", "library")
)


def parse(*words: str) -> argparse.Namespace:
    """Parse logging options before and after the subcommand `work`."""
    parser = argparse.ArgumentParser()
    add_logging_options(parser, "program")
    command = parser.add_subparsers(required=True).add_parser("work")
    add_logging_options(command, "command")
    return parser.parse_args(list(words))


def log_messages(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Log at each level as a stage, a command and a library, and return the lines on standard error."""
    with setup_logging("avf-curate", parse(*words)):
        for logger in (OURS, COMMAND, LIBRARY):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logger.log(level, "%s %s", logger.name, logging.getLevelName(level))
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("words", "ours", "command", "library"),
    [
        (["work"], 2, 3, 2),
        (["-q", "work"], 1, 1, 1),
        (["work", "--quiet"], 1, 1, 1),
        (["-v", "work"], 3, 3, 2),
        (["work", "-v"], 3, 3, 2),
        (["-v", "work", "-v"], 4, 4, 3),
        (["work", "-vv"], 4, 4, 3),
    ],
)
def test_options_set_what_is_shown(
    words: list[str], ours: int, command: int, library: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = log_messages(capsys, *words)
    counts = [sum(f"{logger.name} " in line for line in lines) for logger in (OURS, COMMAND, LIBRARY)]
    assert counts == [ours, command, library]


@pytest.mark.parametrize("words", [["work"], ["-q", "work"], ["-v", "work"]])
def test_a_command_that_waits_says_so_under_quiet_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging("avf-curate", parse(*words)):
        WAITING_LOG.warning("waiting 30 s")
        logging.getLogger("avf_shards.system.run_lock").warning("other")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["waiting 30 s"] + ["other"] * ("-q" not in words)


def test_a_message_is_the_programs_name_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "avf-curate: avf_curation.runs.plan WARNING" in log_messages(capsys, "work")


def test_verbose_messages_have_time_level_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    line = next(line for line in log_messages(capsys, "-v", "work") if "plan INFO" in line)
    time, rest = line.split(" ", 1)
    assert [part.isdigit() for part in time.split(":")] == [True, True, True]
    assert rest == "INFO avf_curation.runs.plan: avf_curation.runs.plan INFO"


def test_json_lines_have_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    entries = [json.loads(line) for line in log_messages(capsys, "--log-json", "work")]
    assert all(entry.keys() == {"time", "level", "logger", "message"} for entry in entries)
    assert {entry["logger"] for entry in entries} == {OURS.name, COMMAND.name, LIBRARY.name}
    assert entries[0]["message"] == "avf_curation.runs.plan WARNING"


def test_json_keeps_a_traceback_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging("avf-curate", parse("--log-json", "work")):
        try:
            raise ValueError("cause")
        except ValueError:
            OURS.exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: cause" in json.loads(line)["traceback"]


def test_workers_read_the_level_and_the_earlier_state_returns() -> None:
    before = logging.getLogger("avf_curation").level, list(logging.getLogger().handlers)
    with setup_logging("avf-curate", parse("-vv", "work")):
        assert os.environ[LEVEL_VARIABLE] == "DEBUG"
        assert logging.getLogger("avf_curation").level == logging.DEBUG
    assert LEVEL_VARIABLE not in os.environ
    assert (logging.getLogger("avf_curation").level, list(logging.getLogger().handlers)) == before


def test_an_error_of_a_command_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log-json", "verify", str(tmp_path / "gone")]) == 2
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["logger"]) == ("ERROR", "avf_shards.cli.verify")
    assert "gone" in entry["message"]
