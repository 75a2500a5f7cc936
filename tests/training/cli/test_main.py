"""avf-train as a process: how its threads wait."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "OMP_WAIT_POLICY = 'PASSIVE'"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "OMP_WAIT_POLICY = 'ACTIVE'")],
)
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(chosen: dict[str, str], expected: str) -> None:
    """The OpenMP that torch brings says itself, as it is loaded, what it was told."""
    unset = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-m", "avf_training.cli.main", "describe", "nano", "--batch", "2"],
        env=environment | {"OMP_DISPLAY_ENV": "TRUE"} | chosen,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert expected in done.stderr
