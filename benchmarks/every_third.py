"""Check whether SyncNet on every third lip window finds the same offset as on every window, with the authors' weights on the real clips."""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
from avf_curation.detectors.weights import default_weights_folder, find_weight
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate

from benchmarks.table import SHARED, Section

TITLE = "SyncNet, every third lip window"


def run() -> list[Section]:
    clips = SHARED / "assets/video"
    if not clips.is_dir() or find_weight("syncnet", default_weights_folder()) is None:
        reason = "Not measured: it needs the authors' weights (`avf-curate weights pull syncnet`) and the folder of real clips."
        return [Section(TITLE, reason, [["", ""]])]
    return compare_windows(
        resolve_backends(load_recipe(None, ["sync.backend=syncnet"]), default_weights_folder()), clips
    )


def compare_windows(backends: BackendSelection, clips: Path) -> list[Section]:
    """Compare offset and confidence of every window with every third, for each span of `clips` that reaches the sync stage."""
    with tempfile.TemporaryDirectory() as name:
        every, third = (_sync_measurements(backends, clips, Path(name) / str(n), n) for n in (1, 3))
    pairs = [
        (every[span], third[span]) for span in every.keys() & third.keys() if every[span]["offset_frames"] is not None
    ]
    if not pairs:
        return [Section(TITLE, "No span reached the sync stage.", [["", ""]])]
    shift = [after["confidence"] - before["confidence"] for before, after in pairs]
    rows = [
        ["spans", "same offset", "confidence, every window", "every third", "median shift", "largest shift"],
        [
            str(len(pairs)),
            str(sum(before["offset_frames"] == after["offset_frames"] for before, after in pairs)),
            f"{statistics.median(before['confidence'] for before, _ in pairs):.2f}",
            f"{statistics.median(after['confidence'] for _, after in pairs):.2f}",
            f"{statistics.median(shift):+.2f}",
            f"{max(shift, key=abs):+.2f}",
        ],
    ]
    return [Section(TITLE, f"Every span of the real clips that reaches the sync stage; track: {backends.track}.", rows)]


def _sync_measurements(
    backends: BackendSelection, clips: Path, out: Path, every: int
) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return the measurements of the sync stage by (video, first frame, frame after the last)."""
    recipe = load_recipe(None, [f"sync.every={every}", "sync.backend=syncnet"])
    ledger = curate(recipe, backends, {"clips": clips}, out, RunOptions(engine="inline")).ledger()
    by_span = {}
    for row in ledger.select(["video_id", "start_frame", "stop_frame", "measurements"]).to_pylist():
        measured = json.loads(row["measurements"] or "{}").get("sync")
        if measured:
            by_span[row["video_id"], row["start_frame"], row["stop_frame"]] = measured
    return by_span
