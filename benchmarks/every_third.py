"""Does SyncNet at every third lip window tell the same offset? On all real clips, with the official weights."""

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
        why = "Not measured: it needs the official weights (`avf-curate weights pull syncnet`) and the folder of real clips."
        return [Section(TITLE, why, [["", ""]])]
    return compare(resolve_backends(load_recipe(None, ["sync.backend=syncnet"]), default_weights_folder()), clips)


def compare(choice: BackendSelection, clips: Path) -> list[Section]:
    """Offsets and confidences of every span of `clips` that reaches the sync stage, every window beside every third."""
    with tempfile.TemporaryDirectory() as name:
        every, third = (_sync(choice, clips, Path(name) / str(n), n) for n in (1, 3))
    both = [
        (every[span], third[span]) for span in every.keys() & third.keys() if every[span]["offset_frames"] is not None
    ]
    if not both:
        return [Section(TITLE, "No span reached the sync stage.", [["", ""]])]
    shift = [two["confidence"] - one["confidence"] for one, two in both]
    rows = [
        ["spans", "same offset", "confidence, every window", "every third", "median shift", "largest shift"],
        [
            str(len(both)),
            str(sum(one["offset_frames"] == two["offset_frames"] for one, two in both)),
            f"{statistics.median(one['confidence'] for one, _ in both):.2f}",
            f"{statistics.median(two['confidence'] for _, two in both):.2f}",
            f"{statistics.median(shift):+.2f}",
            f"{max(shift, key=abs):+.2f}",
        ],
    ]
    return [Section(TITLE, f"Every span of the real clips that reaches the sync stage; track: {choice.track}.", rows)]


def _sync(choice: BackendSelection, clips: Path, out: Path, every: int) -> dict[tuple[str, int, int], dict[str, Any]]:
    """(video, first frame, end) -> what the sync stage measured."""
    recipe = load_recipe(None, [f"sync.every={every}", "sync.backend=syncnet"])
    ledger = curate(recipe, choice, {"clips": clips}, out, RunOptions(engine="inline")).ledger()
    found = {}
    for row in ledger.select(["video_id", "start_frame", "stop_frame", "measurements"]).to_pylist():
        measured = json.loads(row["measurements"] or "{}").get("sync")
        if measured:
            found[row["video_id"], row["start_frame"], row["stop_frame"]] = measured
    return found
