"""Promise: the curation command runs in an interactive shell with ffmpeg on the PATH."""

import os
import pty
import select
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from support.demo_files import DemoFiles
from support.ray_runs import copy_demo_videos, curate_command

# As the real one does at its start: it changes the settings of the terminal on its standard input (and this one also of
# the controlling terminal). In a background process group the kernel stops a process that does so (SIGTTOU).
FFMPEG = """#!/bin/sh
read -r _ _ _ _ group _ _ foreground _ < /proc/$$/stat
if [ -t 0 ]; then echo stdin >> "$AVF_TOUCHED"; stty -echo; stty echo; fi
if (: < /dev/tty) 2> /dev/null; then
    [ "$group" = "$foreground" ] || echo background >> "$AVF_TOUCHED"
    stty -echo < /dev/tty; stty echo < /dev/tty
fi
echo started >> "$AVF_TOUCHED"
"""


def run_in_bash(words: list[str], folder: Path, timeout_s: float) -> tuple[str, list[str]]:
    """Type a command into `bash -i` on a terminal of its own; (what the terminal shows, what ffmpeg touched)."""
    (folder / "bin").mkdir()
    ffmpeg = folder / "bin/ffmpeg"
    ffmpeg.write_text(FFMPEG, "utf-8")
    ffmpeg.chmod(0o755)
    touched = folder / "touched"
    touched.touch()
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "AVF_TOUCHED": str(touched)}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        os.write(terminal, f"{shlex.join(words)}; echo status=$?=\n".encode())
        output = read_until(terminal, "\nstatus=", timeout_s)
    finally:
        os.close(terminal)  # the shell and its jobs get SIGHUP
        subprocess.run(["pkill", "-KILL", "-P", str(pid)], check=False)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return output, touched.read_text("utf-8").split()


def read_until(terminal: int, end: str, timeout_s: float) -> str:
    """What the terminal shows until a line begins with `end`, or for `timeout_s`."""
    output, deadline = b"", time.monotonic() + timeout_s
    poll = select.poll()  # select() takes no descriptor above 1,023
    poll.register(terminal, select.POLLIN)
    while time.monotonic() < deadline:
        if poll.poll(500):
            output += os.read(terminal, 65536)
        text = output.decode("utf-8", "replace").replace("\r", "")
        if end in text and text.rsplit(end, 1)[1].count("="):
            return text
    return output.decode("utf-8", "replace")


@pytest.mark.parametrize("engine", [pytest.param("ray", marks=pytest.mark.slow), "inline"])
def test_a_run_finishes_in_an_interactive_shell(engine: str, corpus: DemoFiles, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    words = [*curate_command(copy_demo_videos(corpus, source), tmp_path / "run", 1), "--engine", engine]
    output, touched = run_in_bash(words, tmp_path, 200)
    assert "\nstatus=0=" in output, output[-2000:]
    assert set(touched) == {"started"}, "ffmpeg ran, with no terminal on its standard input and none in the background"


@pytest.mark.slow
def test_a_pool_that_cannot_start_names_the_reason(corpus: DemoFiles, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    words = [
        *curate_command(copy_demo_videos(corpus, source), tmp_path / "run", 1),
        "--gpus-per-refiner",
        "1",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        [*words, "--refiners", "1", "--start-timeout-s", "0.5"], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2
    assert "no worker of the screening pool started within 0.5 s" in done.stderr
    assert "Traceback" not in done.stderr
