"""The audit report, one self-contained HTML page: funnels, reasons, histograms, contact sheets, versions."""

import base64
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import FaultError
from avf_shards.format.index import ShardReader
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.schema.check_columns import flatten_checks
from avf_shards.schema.ledger import Decision, table_to_decisions

from avf_curation.audit.funnel import LedgerSummary, funnel_steps
from avf_curation.audit.sampling import sample_rows
from avf_curation.audit.scores import scores_by_language
from avf_curation.media import crop
from avf_curation.media.decode import FrameConverter, clip_frame, frame_at
from avf_curation.media.types import MediaConfig
from avf_curation.reports.html import render_page
from avf_curation.runs.frozen_plan import planned_videos, read_plan
from avf_curation.runs.identity import remembered_roots
from avf_curation.runs.unit_log import read_unit_log
from avf_curation.sources.types import Video
from avf_curation.stages.checks import STAGES

_LOG = logging.getLogger(__name__)

_BINS = 40
_KEPT_TILES, _TILES_PER_REASON = 12, 6
_THUMB_PX = 240
_MEDIA = MediaConfig(max_duration_s=43200, max_pixels=67108864, max_gap_s=0.5)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Histogram of the scores of one check over all spans that it measured."""

    name: str  # "stage/reason"
    bars: list[int]  # spans per bin
    low: float  # lower end of the axis
    high: float  # upper end of the axis
    marks: list[tuple[float, str]]  # thresholds: position on the axis from 0 to 1, and label
    measured: int  # spans
    undecided: int  # spans whose score could not be measured
    outside: int  # measured spans beyond the axis


@dataclass(frozen=True, kw_only=True)
class ContactImage:
    """An image of a contact sheet with its captions."""

    title: str  # id of the video
    where: str  # source and seconds
    detail: str  # clip key, or score and threshold
    data: str | None  # JPEG as base64; None where no frame can be read


def write_audit_report(
    run: RunFolder, result: LedgerSummary, path: Path, seed: int, roots: dict[str, Path] | None
) -> None:
    """Write the report of a run to `path`, atomically.

    Args:
        seed: of the random samples on the contact sheets.
        roots: source -> folder of its videos; None: where the run read them.
    """
    table = run.ledger()
    identity = run.identity()
    html = render_page(
        "report.html",
        audit=result,
        totals=result.totals,
        stages=STAGES,
        funnels={name: funnel_steps(source) for name, source in result.sources.items()},
        histograms=histograms(table),
        languages=scores_by_language(table),
        sheets=_make_sheets(run, table, seed, roots or remembered_roots(run)),
        failures=_list_failures(table),
        slowest=_sum_stage_seconds(run),
        identity=identity,
        skipped_inputs=[skip for attempt in run.attempts() for skip in read_plan(run, attempt).skipped_inputs][:200],
        seed=seed,
    )
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(html, "utf-8")
    os.replace(temporary, path)
    _LOG.info("wrote the audit report %s", path)


def histograms(table: pa.Table) -> list[Histogram]:
    """Return a histogram of each check; its axis covers the middle 99 % of the scores and every threshold."""
    checks = flatten_checks(table)
    result = []
    for name in checks.names:
        named = checks.where(checks.is_named(name))
        scores = named.score_C[~np.isnan(named.score_C)]
        marks = sorted({float(threshold) for threshold in named.threshold_C})
        operator = "<=" if named.at_most_C[0] else ">="
        result.append(_make_histogram(name, scores, marks, operator, len(named.score_C) - len(scores)))
    return result


def _make_histogram(name: str, scores: np.ndarray, marks: list[float], operator: str, undecided: int) -> Histogram:
    shown = [0.5, 99.5] if len(scores) > 500 else [0, 100]
    edges = [*np.percentile(scores, shown), *marks] if len(scores) else marks
    low, high = float(min(edges)), float(max(edges))
    pad = 0.05 * (high - low) or 0.5
    low, high = low - pad, high + pad
    bars, _ = np.histogram(scores, bins=_BINS, range=(low, high))
    positions = [((mark - low) / (high - low), f"{operator} {mark:g}") for mark in marks]
    outside = len(scores) - int(bars.sum())
    return Histogram(
        name=name,
        bars=[int(n) for n in bars],
        low=low,
        high=high,
        marks=positions,
        measured=len(scores),
        undecided=undecided,
        outside=outside,
    )


def _make_sheets(
    run: RunFolder, table: pa.Table, seed: int, roots: dict[str, Path]
) -> list[tuple[str, int, list[ContactImage]]]:
    """Return (heading, number of spans, sample) of the kept clips and of each reason; every span is equally likely."""
    kept_rows = table.filter(pc.equal(table["status"], "kept"))
    kept_sample = sample_rows(kept_rows, _KEPT_TILES, seed)
    rejected = table.filter(pc.equal(table["status"], "rejected"))
    reasons = pc.binary_join_element_wise(rejected["stage"], rejected["reason"], "/")
    chosen = {}
    for name in sorted(pc.unique(reasons).to_pylist()):
        rows = rejected.filter(pc.equal(reasons, name))
        chosen[name] = (rows.num_rows, sample_rows(rows, _TILES_PER_REASON, seed))
    planned = planned_videos(run, {decision.video_id for _, sample in chosen.values() for decision in sample})
    sheets = (
        [("kept", kept_rows.num_rows, [_make_clip_tile(run, decision) for decision in kept_sample])]
        if kept_sample
        else []
    )
    for name, (count, sample) in chosen.items():
        tiles = [_make_span_tile(decision, roots, planned) for decision in sample]
        sheets.append((f"rejected: {name}", count, tiles))
    return sheets


def _make_clip_tile(run: RunFolder, decision: Decision) -> ContactImage:
    key = decision.clips[0]
    data: str | None = None
    try:
        with ShardReader(run.unit_folder(decision.attempt, decision.unit) / PART) as reader:
            members = reader.index.by_key()[key]
            if "mp4" in members:
                frame = clip_frame(reader.read(members["mp4"]), decision.span.frames // 2)
                data = None if frame is None else _encode_thumbnail(frame)
    except (FaultError, KeyError):
        data = None
    return ContactImage(title=decision.video_id, where=_describe_span(decision), detail=key, data=data)


def _make_span_tile(decision: Decision, roots: dict[str, Path], planned: dict[tuple[str, str], Video]) -> ContactImage:
    root = roots.get(decision.source)
    video = planned.get((decision.source, decision.video_id))
    frame = None
    if root is not None and video is not None:
        middle = (video.start_s or 0.0) + (decision.span.start_s + decision.span.stop_s) / 2
        frame = frame_at(root / video.path, middle, _MEDIA)
    sign = {"<=": ">", ">=": "<"}.get(decision.operator or "", "?")
    detail = f"{decision.score:g} {sign} {decision.threshold:g}" if decision.score is not None else ""
    return ContactImage(
        title=decision.video_id,
        where=_describe_span(decision),
        detail=detail,
        data=None if frame is None else _encode_thumbnail(frame),
    )


def _encode_thumbnail(frame: Any) -> str:
    image, _ = FrameConverter().long_side(frame, _THUMB_PX, "bgr24")
    return base64.b64encode(crop.encode_jpeg(image, 75)).decode()


def _describe_span(decision: Decision) -> str:
    return f"{decision.source}, {decision.span.start_s:.2f} to {decision.span.stop_s:.2f} s"


def _list_failures(table: pa.Table) -> list[Decision]:
    """Return the failed rows, at most 200."""
    return table_to_decisions(table.filter(pc.equal(table["status"], "failed")).slice(0, 200))


def _sum_stage_seconds(run: RunFolder) -> list[tuple[str, float]]:
    """Return (stage, seconds of all workers), slowest first, from the log of units."""
    sums: dict[str, float] = {}
    for entry in read_unit_log(run):
        for stage, seconds in entry.report.stage_seconds.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return sorted(sums.items(), key=lambda item: -item[1])
