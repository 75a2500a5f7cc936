"""Send fifty SIGKILLs at random moments of a run and its packing; each run that finishes must have the same bytes."""

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from avf_curation.demo.corpus import demo_videos, encode_demo_video
from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection

from benchmarks.table import Section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.trees import file_digests

KILLS = 50
VIDEOS = ("studio/talk_0.mp4", "archive/truncated.mp4", "archive/notes.mp4")


def run() -> list[Section]:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "in"
        source.mkdir()
        for video in demo_videos():
            if video.path in VIDEOS:
                (source / Path(video.path).name).write_bytes(encode_demo_video(video))
        _job(source, Path(name) / "warm")
        start = time.monotonic()
        _job(source, Path(name) / "undisturbed")
        seconds = time.monotonic() - start
        expected = file_digests(Path(name) / "undisturbed")
        kills = runs = different = 0
        while kills < KILLS:
            out, runs, finished = Path(name) / f"run{runs}", runs + 1, False
            while not finished:
                delay = draw.uniform(0, 1.3 * seconds) if kills < KILLS else None
                finished = _child(partial(_job, source, out), delay)
                kills += not finished
            different += file_digests(out) != expected
    rows = [["SIGKILLs", "runs finished", "runs with other bytes"], [str(kills), str(runs), str(different)]]
    return [Section("Kills", "Random moments of plan, curation and packing; inline engine, real stages.", rows)]


def _job(source: Path, out: Path) -> None:
    recipe = load_recipe(None, ["plan.unit_videos=1", "faces.side_px=300", "track.side_px=300"])
    run_folder = curate(
        recipe,
        BackendSelection(track="dlib", sync="envelope", weights={}),
        {"s": source},
        out / "run",
        RunOptions(engine="inline"),
    )
    pack_shards(run_folder, out / "shards", Selection())


def _child(work: Callable[[], None], kill_after_s: float | None) -> bool:
    """Run `work` in a fork of this process; return whether the fork finished before it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + (kill_after_s if kill_after_s is not None else 600)
    while time.monotonic() < end:
        ended_pid, status = os.waitpid(pid, os.WNOHANG)
        if ended_pid:
            if os.waitstatus_to_exitcode(status) != 0:
                raise RuntimeError("the run failed without being killed")
            return True
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False
