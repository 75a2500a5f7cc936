"""One process works in a run folder at a time, and a killed process does not hold the folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.trainer.run_folder import exclusive_lock

HOLD = """
import os, sys, time
from pathlib import Path
from avf_training.trainer.run_folder import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    if os.fork() == 0:  # as a loader's worker, which may live on for a while
        os.close(1)
        time.sleep(20)
        os._exit(0)
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"run: process {first.pid} on .* is at work in it"), exclusive_lock(out):
        pass
    with exclusive_lock(out, rank=1):  # another rank of the first one's world
        pass
    first.kill()
    first.wait()
    with exclusive_lock(out):
        assert sorted(path.name for path in out.iterdir()) == [".lock-000002.json"]
