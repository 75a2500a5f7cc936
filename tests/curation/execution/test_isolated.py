"""Isolated videos end with the process that started them."""

import signal
import subprocess
import sys


def test_the_child_of_a_process_that_has_ended_does_not_start() -> None:
    command = [sys.executable, "-m", "avf_curation.execution.isolated", "1", "job", "result"]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
