"""The decisions on one video, in words."""

import difflib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, parse_measurements, table_to_decisions
from avf_shards.text import count_noun

from avf_curation.stages.undecided import UNDECIDED


def find_video(table: pa.Table, name: str) -> list[Decision]:
    """Return the decisions of the video `name` (an id or SOURCE/id) in the order of their spans.

    Raises:
        UserError: there is no such video (the message lists similar names), or several sources have such a video.
    """
    full = pc.binary_join_element_wise(table["source"], table["video_id"], "/")
    rows = table.filter(pc.or_(pc.equal(table["video_id"], name), pc.equal(full, name)))
    decisions = table_to_decisions(rows)
    videos = sorted({(d.source, d.video_id) for d in decisions})
    if len(videos) == 1:
        return sorted(decisions, key=lambda d: d.span)
    if videos:
        raise UserError(
            f"{name!r} is in several sources; write one of {', '.join('/'.join(video) for video in videos)}"
        )
    known = pc.unique(table["video_id"]).to_pylist()[:100_000]
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"; similar names: {', '.join(similar)}" if similar else ""
    raise UserError(f"{name!r}: no such video or picture in this run{hint}")


def verdict_text(decision: Decision) -> str:
    """Return the verdict of a span in words, with its reason."""
    if decision.status == "kept":
        return f"kept as {', '.join(decision.clips)}"
    if decision.status == "failed":
        return f"failed in {decision.stage}: {decision.error}: {decision.message}"
    if decision.reason == UNDECIDED:
        count = count_noun(int(decision.score or 0), "check")
        return f"rejected {decision.stage}/{decision.reason}: {count} could not be measured"
    if decision.score is None:  # a deletion compares no score
        return f"rejected {decision.stage}/{decision.reason}"
    opposite = {"<=": ">", ">=": "<"}[decision.operator or "<="]
    return f"rejected {decision.stage}/{decision.reason}: {decision.score:g} {opposite} {decision.threshold:g}"


def input_notes(decisions: Sequence[Decision]) -> list[str]:
    """Return what is odd about the input, as sentences: what a person who doubts a verdict has to know."""
    stages = [
        parse_measurements(decision.measurements, f"ledger: {decision.video_id}: measurements")
        for decision in decisions
    ]
    measured: dict[str, Any] = next((tables["scenes"] for tables in stages if "scenes" in tables), {})
    notes = []
    if measured.get("audio_tracks", 0) > 1:
        number, count = measured["audio_track"] + 1, measured["audio_tracks"]
        notes.append(f"The file has {count} sound tracks; track {number} was read (`media.audio_languages`).")
    if measured.get("one_channel_s", 0) > 0:
        seconds = measured["one_channel_s"]
        notes.append(f"Left and right cancel each other for {seconds:g} s, which come from one channel alone.")
    oddities = [oddity for tables in stages for oddity in tables.get("scenes", {}).get("oddities", ())]
    return notes + list(dict.fromkeys(oddities))


def check_text(check: Check) -> str:
    """Return a check as a line: whether the span passes, then name, score, operator and threshold."""
    score = "cannot tell" if check.score is None else f"{check.score:g}"
    mark = {True: "passes", False: "FAILS", None: "open"}[check.passed]
    name = f"{check.stage}/{check.reason}"
    return f"{mark:<7}{name:<26}{score:>12} {check.operator} {check.threshold:g}"
