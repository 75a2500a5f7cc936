"""No small file takes a worker above 1.5 GB of memory, whatever it declares, and each gets its verdict."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from avf_shards.format.run_folder import RunFolder
from support import bombs

MAX_BYTES = 1.5e9
PROGRAM = """
import json, resource, sys
from avf_curation.cli.main import main
status = main(sys.argv[1:])
# ru_maxrss of a process counts what its parent had when it forked.
own_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
peak = max(own_kb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
print(json.dumps({"status": status, "peak_bytes": peak}))
"""


def write_bombs(folder: Path) -> None:
    folder.mkdir()
    for tracks, samples in ((1, 80_000_000), (3, 50_000_000), (12, 80_000_000), (200, 2_000_000), (1, 2**32 - 1)):
        bombs.write_mp4(folder / f"{tracks}-tracks-{samples}-samples.mp4", tracks, samples)
    for rate_hz, blocks in ((1, 1), (8, 4), (16000, 120)):
        bombs.write_flac(folder / f"{rate_hz}-hz-{blocks}-blocks.flac", rate_hz, blocks)
    for rate_hz in (1, 100):
        bombs.write_wav(folder / f"{rate_hz}-hz.wav", rate_hz, 43_100)


@pytest.mark.slow
def test_no_small_file_takes_a_worker_above_its_memory(tmp_path: Path) -> None:
    write_bombs(tmp_path / "in")
    names = {path.name for path in (tmp_path / "in").iterdir()}
    command = ["run", "--source", f"s={tmp_path / 'in'}", "--out", str(tmp_path / "run"), "--engine", "inline"]
    # Memory beyond this would be the machine's, and the tests beside this one would have none.
    guard = 16_000_000_000
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (guard, guard)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == 0
    assert result["peak_bytes"] < MAX_BYTES
    ledger = RunFolder(tmp_path / "run").ledger()
    verdicts = dict(zip(ledger["video_id"].to_pylist(), ledger["status"].to_pylist(), strict=True))
    assert verdicts.keys() == names
    assert not {name for name, status in verdicts.items() if status == "kept"}
    errors = dict(zip(ledger["video_id"].to_pylist(), ledger["error"].to_pylist(), strict=True))
    assert {errors[name] for name in names if name.endswith(".mp4")} == {"memory_limit"}
    assert {errors[name] for name in ("1-hz-1-blocks.flac", "8-hz-4-blocks.flac", "1-hz.wav", "100-hz.wav")} == {
        "absurd_sound"
    }
