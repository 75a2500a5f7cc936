"""Training on more rows of feature tracks than a process may hold: peak memory and speed with rows on the disk."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from avf_training.framewise.labels.label_track import LabelTrack, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder

from benchmarks.table import Section

_VIDEOS, _FRAMES, _FPS = 48, 5000, 30.0
_WIDTH = 4736  # values of NetEase's best tracks for valence and arousal
_MEMORY_LIMIT_GB = 4  # of everything but pages of files, which the system takes back
_STEPS = 12
_NAME = "drawn"

# What a process maps of files counts as resident until the system takes it back; what it holds itself is RssAnon.
_TRAIN = """
import sys, threading, time
from avf_training.cli.main import main
peaks, done = {}, threading.Event()
def watch():
    while not done.wait(0.02):
        for line in open("/proc/self/status"):
            name, _, value = line.partition(":")
            if name in ("RssAnon", "VmData", "VmRSS"):
                peaks[name] = max(peaks.get(name, 0), int(value.split()[0]))
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
status = main(sys.argv[1:])
done.set()
watcher.join()
print("peaks", peaks["RssAnon"] / 1e6, peaks["VmData"] / 1e6, peaks["VmRSS"] / 1e6)
sys.exit(status)
"""


def run() -> list[Section]:
    """Measure training with rows on the disk, and whether it runs with rows in memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_corpus(folder)
        gigabytes = _VIDEOS * _FRAMES * _WIDTH * 4 / 1e9
        rows = [
            ["rows are", "memory of its own", "resident with pages of files", "steps/s", "waited for rows"],
            *(_measure(folder, rows_in) for rows_in in ("disk", "memory")),
        ]
    note = (
        f"The fusion transformer on {_VIDEOS} drawn videos of {_FRAMES:,} frames with {_WIDTH:,} values in float32, "
        f"{gigabytes:.1f} GB of rows, {_STEPS} steps of 32 clips of 100 frames, in a process whose memory but for "
        f"pages of files is limited to {_MEMORY_LIMIT_GB} GB (RLIMIT_DATA). Pages of files stay while there is room: "
        "the system takes them back when another process needs it. Reading of tracks and the validation are within "
        "the peaks."
    )
    return [Section("Rows of tracks that exceed memory", note, rows)]


def _write_corpus(folder: Path) -> None:
    random = np.random.default_rng(0)
    identity = ExtractorIdentity.from_settings(_NAME, {}, "ab" * 32)
    frames_N = np.arange(1, _FRAMES + 1)
    task = find_task("va")
    for number in range(_VIDEOS):
        subject = TrackSubject(source="benchmark", video_id=f"v{number}")
        track = FeatureTrack(
            subject=subject,
            extractor=identity,
            fps=_FPS,
            inputs_sha256="cd" * 32,
            frames_N=frames_N,
            times_s_N=(frames_N - 1) / _FPS,
            vectors_ND=random.standard_normal((_FRAMES, _WIDTH), np.float32),
        )
        write_track(TrackFolder(folder / "tracks").path(_NAME, subject), track)
        labels = LabelTrack(
            subject=subject,
            task=task,
            split="validation" if number == 0 else "train",
            group=subject.video_id,
            person=None,
            scene=None,
            fps=_FPS,
            frames_N=frames_N,
            times_s_N=(frames_N - 1) / _FPS,
            values_NK=np.tanh(track.vectors_ND[:, :2]),
        )
        write_label_track(folder / "labels", labels)


def _measure(folder: Path, rows_in: str) -> list[str]:
    """Return the row of a table: of a run that was made, or that the limit ended."""
    out = folder / f"run_{rows_in}"
    settings = (
        *(f"visual=[{_NAME}]", "audio=[]", f"steps={_STEPS}", f"log_every={_STEPS // 3}", f"rows_in={rows_in}"),
        *("class_weights=none", f"evaluate_every={_STEPS}"),
    )
    words = [word for setting in settings for word in ("--set", setting)]
    argv = ["train-frames", "--tracks", str(folder / "tracks"), "--labels", str(folder / "labels"), "--task", "va"]
    argv += ["--recipe", "netease_fusion", "--out", str(out), "--device", "cpu", *words]
    limit = _MEMORY_LIMIT_GB * 10**9
    ended = subprocess.run(
        [sys.executable, "-c", _TRAIN, *argv],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MALLOC_ARENA_MAX": "2"},
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, (limit, limit)),
    )
    if ended.returncode:
        reason = "out of memory" if "memory" in ended.stderr.lower() else ended.stderr[-200:]
        return [f"`rows_in: {rows_in}`", f"ended: {reason}", "–", "–", "–"]
    peaks = [line for line in ended.stdout.splitlines() if line.startswith("peaks ")][-1].split()[1:]
    anonymous_gb, _, resident_gb = map(float, peaks)
    reports = [json.loads(line) for line in (out / "throughput.jsonl").read_text().splitlines()]
    step_s = statistics.median(each["step_s"] for each in reports)
    waited = statistics.median(each["waited_share"] for each in reports)
    return [
        f"`rows_in: {rows_in}`",
        f"{anonymous_gb:.2f} GB",
        f"{resident_gb:.1f} GB",
        f"{1 / step_s:.2f}",
        f"{waited:.0%}",
    ]
