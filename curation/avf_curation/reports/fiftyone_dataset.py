"""A run as a data set of FiftyOne: its input videos, with every decision as a temporal detection that has its scores.

The folder has the layout that FiftyOne documents as FiftyOneTemporalDetectionDataset: `labels.json`, and `data.json`,
which says where each video lies. Videos are not copied, and FiftyOne itself is not needed to write it.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import Decision, table_to_decisions
from avf_shards.system import durable_io

from avf_curation.media.frame_rate import FrameRate, read_frame_rate
from avf_curation.media.types import MediaError
from avf_curation.reports.output_folder import check_new_folder, fill_new_folder
from avf_curation.runs.frozen_plan import planned_videos
from avf_curation.stages.undecided import undecided_reasons

DATASET_TYPE = "fiftyone.types.FiftyOneTemporalDetectionDataset"
_UNREADABLE = FrameRate(fps=25.0, frames=1)  # of a file that cannot be opened: its one label lies on "frame 1"


@dataclass(kw_only=True)
class FiftyOneDataset:
    """What was written of a run."""

    videos: int = 0  # files with at least one decision
    decisions: int = 0
    left_out: list[str] = field(default_factory=list)  # "path: reason" of inputs that are no file of this machine


def write_fiftyone_dataset(run: RunFolder, out: Path, roots: Mapping[str, Path]) -> FiftyOneDataset:
    """Write the data set of a run into the new or empty folder `out`.

    Args:
        run: the run; decisions of all its attempts that count are taken.
        out: a folder that does not exist or is empty.
        roots: source -> folder where its inputs are now.

    Raises:
        UserError: `out` is a file or holds files, or no folder is known for a source.
    """
    check_new_folder(out)
    decisions = table_to_decisions(run.ledger())
    missing = sorted({decision.source for decision in decisions} - set(roots))
    if missing:
        raise UserError(f"the folder of {', '.join(missing)} is not known; name it with --source {missing[0]}=DIR")
    planned = planned_videos(run, {decision.video_id for decision in decisions})
    by_file: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        # The ledger's path is for people; that of the plan also has bytes that are no UTF-8.
        by_file[decision.source, planned[decision.source, decision.video_id].path].append(decision)
    written = FiftyOneDataset()
    paths: dict[str, str] = {}
    labels: dict[str, list[dict[str, Any]]] = {}
    for (source, path), of_file in by_file.items():
        file = roots[source].resolve() / path
        reason = _why_left_out(file)
        if reason is not None:
            written.left_out.append(f"{_printable(file)}: {reason}")
            continue
        try:
            rate = read_frame_rate(file)
        except MediaError:
            rate = _UNREADABLE
        starts_s = [planned[source, decision.video_id].start_s or 0.0 for decision in of_file]
        name = f"{len(paths):07d}"  # FiftyOne takes the part after a dot for an ending, which it cuts off
        paths[name] = str(file)
        labels[name] = [_label(*pair, rate) for pair in zip(of_file, starts_s, strict=True)]
        written.decisions += len(of_file)
    written.videos = len(paths)
    if not paths:
        first = next(iter(roots), "NAME")
        raise UserError(
            f"none of the {len(by_file)} inputs of {run.root} can be shown"
            + (f" ({written.left_out[0]})" if written.left_out else "")
            + f"; where they lie elsewhere now, add --source {first}=DIR"
        )
    classes = sorted({label["label"] for of_file in labels.values() for label in of_file})
    with fill_new_folder(out) as folder:
        durable_io.write(folder / "data.json", json.dumps(paths, indent=1).encode())
        durable_io.write(folder / "labels.json", json.dumps({"classes": classes, "labels": labels}).encode())
    return written


def _printable(path: Path) -> str:
    """Return a path with \\xNN for bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _why_left_out(file: Path) -> str | None:
    """Return why FiftyOne cannot show an input, or None where it can."""
    if file.is_dir():
        return "a folder of images"
    if not file.is_file():
        return "no such file"
    if _printable(file) != str(file):
        return "its name is not UTF-8, which FiftyOne's database cannot hold"
    return None


def _label(decision: Decision, start_s: float, rate: FrameRate) -> dict[str, Any]:
    """Return a decision as FiftyOne's temporal detection."""
    return {
        "label": _class(decision),
        "support": rate.frame_range(start_s + decision.span.start_s, start_s + decision.span.stop_s),
        "attributes": dict(_attributes(decision)),
    }


def _class(decision: Decision) -> str:
    """Return "kept", "rejected sync: offset" or "failed open: not_media"."""
    if decision.status == "kept":
        return "kept"
    return f"{decision.status} {decision.stage}: {decision.reason or decision.error}"


def _attributes(decision: Decision) -> Iterator[tuple[str, Any]]:
    """Yield the values by which an auditor filters. Mongo allows no dot in a name; absent values have no attribute."""
    values = {
        "source": decision.source,
        "video_id": decision.video_id,
        "status": decision.status,
        "stage": decision.stage,
        "reason": decision.reason,
        "score": decision.score,
        "threshold": decision.threshold,
        "error": decision.error,
        "message": decision.message,
        "speaker": decision.speaker,
        "language": decision.language,
        "start_s": round(decision.span.start_s, 2),
        "stop_s": round(decision.span.stop_s, 2),
        "clips": ", ".join(decision.clips) or None,
    }
    stages = dict.fromkeys(check.stage for check in decision.checks)
    undecided = [
        f"{stage} {reason}"
        for stage in stages
        for reason in undecided_reasons(check for check in decision.checks if check.stage == stage)
    ]
    values["not_measured"] = ", ".join(undecided) or None
    scores = {f"{check.stage}_{check.reason}": check.score for check in decision.checks}
    for name, value in (values | scores).items():
        if value is not None:
            yield name, value
