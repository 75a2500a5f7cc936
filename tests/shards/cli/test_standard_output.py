"""A closed or full standard output: the status of an answer stays, and no other broken pipe is taken for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from support.runs import make_run

PROGRAMS = {"avf-curate": "avf_curation", "avf-shards": "avf_shards", "avf-train": "avf_training"}
FULL = Path("/dev/full")


def run_with_output(words: list[str], output: int) -> tuple[int, str]:
    """Return exit status and standard error of a command whose standard output is the open file `output`."""
    argv = [sys.executable, "-m", f"{PROGRAMS[words[0]]}.cli.main", *words[1:]]
    shell = subprocess.run(argv, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    return shell.returncode, shell.stderr


def run_unread(words: list[str]) -> tuple[int, str]:
    """Do what `run_with_output` does for a pipe whose reader has ended, as that of `command | true`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return run_with_output(words, writer)
    finally:
        os.close(writer)


def run_full(words: list[str]) -> tuple[int, str]:
    """Do what `run_with_output` does for a disk that is full."""
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with open(FULL, "wb") as output:
        return run_with_output(words, output.fileno())


@pytest.fixture(scope="module")
def run_and_shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run, and shards of it with one damaged byte."""
    folder = tmp_path_factory.mktemp("output")
    run = make_run(folder)
    pack_shards(run, folder / "shards", Selection())
    shard = folder / "shards/made-000000.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    return run.root, folder / "shards"


@pytest.mark.parametrize("options", [[], ["--json", "-"]])
def test_damage_that_nobody_reads_about_still_is_status_1(
    options: list[str], run_and_shards: tuple[Path, Path]
) -> None:
    assert run_unread(["avf-shards", "verify", str(run_and_shards[1]), *options]) == (1, "")
    assert run_unread(["avf-curate", "audit", str(run_and_shards[0]), *options]) == (0, "")


@pytest.mark.parametrize("options", [[], ["--json", "-"]])
def test_a_full_disk_below_standard_output_is_one_sentence(
    options: list[str], run_and_shards: tuple[Path, Path]
) -> None:
    run, shards = run_and_shards
    for program, command, folder in (("avf-curate", "audit", run), ("avf-shards", "verify", shards)):
        assert run_full([program, command, str(folder), *options]) == (
            2,
            f"{program}: standard output: No space left on device\n",
        )


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version_end_like_every_command(program: str, option: str) -> None:
    assert run_unread([program, option]) == (0, "")
    assert run_full([program, option]) == (2, f"{program}: standard output: No space left on device\n")


def test_a_broken_pipe_that_is_not_standard_output_is_an_error() -> None:
    code = """
import argparse, sys
from avf_shards.cli.common import run_command

def run(options):
    raise BrokenPipeError(32, "Broken pipe")

parser = argparse.ArgumentParser(prog="avf-x")
parser.set_defaults(run=run, quiet=False, log_json=False)
sys.exit(run_command(parser, [], stopped=""))
"""
    shell = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (shell.returncode, shell.stderr) == (2, "avf-x: Broken pipe\n")
