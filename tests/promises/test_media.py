"""Files of many containers, codecs, rates and clocks are read as docs/media.md promises."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEWEST_FILES = 60  # that the program ffmpeg of any machine can write


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg, which writes the files, is not here")
def test_generated_files_are_read_as_the_page_promises() -> None:
    command = [sys.executable, "-m", "benchmarks.media", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= FEWEST_FILES
