"""A run has at most one coordinator, and stops before the disk is full."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from avf_curation.execution.events import EventLog, read_events
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.runs import coordinator
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.status import run_status
from avf_curation.sources.types import Video
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system import run_lock
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs, make_run, write_coordinator_marker
from support.stages import single_step


def continue_run(tmp_path: Path, **options: object) -> RunFolder:
    settings = make_recipe("plan.unit_videos=2", "silence.speech_backend=none")
    sources = {"made": tmp_path / "in"}
    return curate(
        settings,
        EMBEDDED,
        sources,
        tmp_path / "run",
        RunOptions(engine="inline", stages=single_step(stub_curate), **options),
    )


def test_a_second_coordinator_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
    try:
        write_coordinator_marker(run, sleeper.pid)
        with pytest.raises(UserError, match=f"process {sleeper.pid} on .* is at work"):
            continue_run(tmp_path)
    finally:
        sleeper.kill()
        sleeper.wait()
    continue_run(tmp_path)  # the dead count for nothing
    assert not list(run.log_folder.glob("coordinator-*"))


def test_a_coordinator_on_another_machine_holds_the_run_while_it_touches_its_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "WATCH_S", 0.02)
    run = make_run(tmp_path)
    marker = write_coordinator_marker(run, 1, host="another-machine", machine="another boot")
    with pytest.raises(UserError, match="another-machine"):
        continue_run(tmp_path)
    os.utime(marker, (time.time() - 120, time.time() - 120))
    continue_run(tmp_path)


def test_a_reused_process_id_does_not_hold_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_coordinator_marker(run, os.getpid(), started=1)
    continue_run(tmp_path)


def test_concurrent_coordinators_never_hold_the_run_together(tmp_path: Path) -> None:
    """Many processes claim the same run at the same moment, again and again: never two at a time."""
    run = make_run(tmp_path)
    write_coordinator_marker(run, os.getpid(), number=7, started=1)
    code = """
import json, os, sys, time
from pathlib import Path
from avf_curation.runs.coordinator import Coordinator
from avf_curation.execution.events import EventLog
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system.run_lock import marker_values
run = RunFolder(Path(sys.argv[1]))
won = 0
end = time.time() + 4
while won < 3 or time.time() < end:  # on a busy machine four seconds may see few wins
    try:
        with Coordinator(run, EventLog(run.log_folder), 0):
            (run.root / "log/inside").touch(exist_ok=False)
            time.sleep(0.005)
            (run.root / "log/inside").unlink()
            won += 1
            if won % 3 == 0:  # die now and then: leave a marker that counts for nothing
                path = run.log_folder / f"coordinator-{500 + won:06d}.json"
                path.write_text(json.dumps(marker_values(os.getpid()) | {"started": 1}))
    except UserError:
        time.sleep(0.001)
print(won)
"""
    racers = [subprocess.Popen([sys.executable, "-c", code, str(run.root)], stdout=subprocess.PIPE) for _ in range(4)]
    won = [int(racer.communicate(timeout=240)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sum(won) > 10


def test_a_coordinator_whose_marker_is_removed_stops(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 6)
    taken_over_at: list[str] = []

    def take_over(event: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
        if not taken_over_at:
            (marker,) = (tmp_path / "run/log").glob("coordinator-*.json")
            marker.unlink()
            taken_over_at.append(event.video_id)
        return stub_curate(event, root, settings, tools)

    with pytest.raises(InfrastructureError, match="took this run over"):
        curate(
            make_recipe("plan.unit_videos=2", "silence.speech_backend=none"),
            EMBEDDED,
            {"made": tmp_path / "in"},
            tmp_path / "run",
            RunOptions(engine="inline", stages=single_step(take_over)),
        )
    assert run_status(RunFolder(tmp_path / "run")).state == "stopped"
    continue_run(tmp_path)


def test_a_run_stops_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_inputs(tmp_path / "in", 6)
    free = iter([50e9, 50e9, 0.4e9] + [0.4e9] * 9)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(coordinator.shutil, "disk_usage", lambda path: usage._replace(free=int(next(free))))
    with pytest.raises(InfrastructureError, match=r"0.40 GB free, less than --min-free-gb 1"):
        continue_run(tmp_path, min_free_gb=1.0)
    assert len(RunFolder(tmp_path / "run").finished_units(0)) == 2
    with pytest.raises(InfrastructureError, match="make room"):
        continue_run(tmp_path, min_free_gb=1.0)
    monkeypatch.undo()
    run = continue_run(tmp_path, min_free_gb=1e-6)
    names = [event["name"] for event in read_events(run.log_folder)]
    assert names.count("disk_almost_full") == 2
    assert names[-1] == "run_finished"
    assert sorted(event["unit"] for event in read_events(run.log_folder) if event["name"] == "unit_done") == [0, 1, 2]


def test_the_log_says_what_stopped_a_run_also_an_error_without_words(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(KeyboardInterrupt), coordinator.Coordinator(run, EventLog(run.log_folder), 0):
        raise KeyboardInterrupt
    (*_, last) = read_events(run.log_folder)
    assert (last["name"], last["message"]) == ("run_stopped", "KeyboardInterrupt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_an_event_without_room_on_the_disk_names_its_file_and_leaves_no_lock(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 2)
    events = tmp_path / "run" / "log" / "events.jsonl"
    events.parent.mkdir(parents=True)
    events.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*events\.jsonl'"):
        continue_run(tmp_path)
    events.unlink()
    assert set(continue_run(tmp_path).ledger()["video_id"].to_pylist()) == {"000.mp4", "001.mp4"}
