"""The audit as one self-contained page: funnels, reasons, histograms with thresholds, contact sheets, versions."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import FaultError
from avf_shards.index import ShardReader
from avf_shards.ledger import Decision, from_table
from avf_shards.run_folder import PART, RunFolder

from avf_curation.audit import Audit, duration, funnel
from avf_curation.backends import crop
from avf_curation.backends.decode import Converter, clip_frame, picture_at
from avf_curation.identity import remembered_roots
from avf_curation.media import MediaConfig
from avf_curation.run import read_plan
from avf_curation.scores import by_language

_BINS = 40
_KEPT, _PER_REASON = 12, 6
_THUMB_PX = 240
_MEDIA = MediaConfig(43200, 67108864, 0.5)


@dataclass(frozen=True)
class Histogram:
    """One score over all spans that were measured. bars: counts; low, high: the axis; marks: threshold positions."""

    name: str
    bars: list[int]
    low: float
    high: float
    marks: list[tuple[float, str]]
    measured: int
    undecided: int
    outside: int


@dataclass(frozen=True)
class Picture:
    """A tile of a contact sheet. data: JPEG as base64, or None with a word why."""

    title: str
    where: str
    detail: str
    data: str | None


def write_page(run: RunFolder, result: Audit, path: Path, seed: int, roots: dict[str, Path] | None) -> None:
    """Write the page to `path`, whole or not at all."""
    table = run.ledger()
    identity = run.identity()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    html = environment.get_template("report.html").render(
        audit=result,
        totals=result.totals,
        funnels={name: funnel(source) for name, source in result.sources.items()},
        histograms=histograms(table),
        languages=by_language(table),
        sheets=_sheets(run, table, seed, roots or remembered_roots(run)),
        failures=_failures(table),
        slowest=_slowest(run),
        identity=identity,
        aside=[one for generation in run.generations() for one in read_plan(run, generation).aside][:200],
        seed=seed,
    )
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(html, "utf-8")
    os.replace(temporary, path)


def histograms(table: pa.Table) -> list[Histogram]:
    """One per stage/reason, in the order of the pipeline; the axis holds the middle 99 % and every threshold."""
    column = table["checks"].combine_chunks()
    checks = pc.list_flatten(column)
    if not len(checks):
        return []
    stage, reason = pc.struct_field(checks, "stage"), pc.struct_field(checks, "reason")
    names = pc.binary_join_element_wise(stage, reason, "/").dictionary_encode()
    codes = names.indices.to_numpy()
    scores = pc.struct_field(checks, "score").to_numpy(zero_copy_only=False).astype(float)
    thresholds = pc.struct_field(checks, "threshold").to_numpy(zero_copy_only=False)
    operators = pc.struct_field(checks, "operator").to_numpy(zero_copy_only=False)
    result = []
    for code, name in enumerate(names.dictionary.to_pylist()):
        mine = codes == code
        known = scores[mine][~np.isnan(scores[mine])]
        marks = sorted({float(t) for t in thresholds[mine]})
        operator = str(operators[mine][0])
        result.append(_histogram(name, known, marks, operator, int(mine.sum() - len(known))))
    return result


def _histogram(name: str, scores: np.ndarray, marks: list[float], operator: str, undecided: int) -> Histogram:
    shown = [0.5, 99.5] if len(scores) > 500 else [0, 100]
    edges = [*np.percentile(scores, shown), *marks] if len(scores) else marks
    low, high = float(min(edges)), float(max(edges))
    pad = 0.05 * (high - low) or 0.5
    low, high = low - pad, high + pad
    bars, _ = np.histogram(scores, bins=_BINS, range=(low, high))
    places = [((mark - low) / (high - low), f"{operator} {mark:g}") for mark in marks]
    outside = len(scores) - int(bars.sum())
    return Histogram(name, [int(n) for n in bars], low, high, places, len(scores), undecided, outside)


def _sheets(run: RunFolder, table: pa.Table, seed: int, roots: dict[str, Path]) -> list[tuple[str, int, list[Picture]]]:
    """(heading, how many there are, sample): kept clips, then each reject reason, seeded and unbiased."""
    kept_count, kept = _sample(table.filter(pc.equal(table["status"], "kept")), _KEPT, seed)
    rejected = table.filter(pc.equal(table["status"], "rejected"))
    reasons = pc.binary_join_element_wise(rejected["stage"], rejected["reason"], "/")
    chosen = {
        name: _sample(rejected.filter(pc.equal(reasons, name)), _PER_REASON, seed)
        for name in sorted(pc.unique(reasons).to_pylist())
    }
    paths = _paths(run, {decision.video for _, sample in chosen.values() for decision in sample})
    sheets = [("kept", kept_count, [_clip_tile(run, decision) for decision in kept])] if kept else []
    for name, (count, sample) in chosen.items():
        sheets.append((f"rejected: {name}", count, [_span_tile(one, roots, paths) for one in sample]))
    return sheets


def _sample(table: pa.Table, size: int, seed: int) -> tuple[int, list[Decision]]:
    """How many rows, and `size` of them by a seeded lot that depends on nothing but the span's identity."""
    names = pc.binary_join_element_wise(
        table["source"], table["video"], pc.cast(table["start_frame"], pa.string()), "\0"
    ).to_pylist()
    lots = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    chosen = sorted(sorted(range(len(lots)), key=lots.__getitem__)[:size])
    return table.num_rows, from_table(table.take(pa.array(chosen, pa.int64())))


def _paths(run: RunFolder, videos: set[str]) -> dict[tuple[str, str], tuple[str, float]]:
    """(source, video) -> path below the source's folder, as the plan has it, and where in the file it starts."""
    paths = {}
    for generation in run.generations():
        planned = read_plan(run, generation).table.select(["source", "video", "path", "start_s"])
        wanted = planned.filter(pc.is_in(planned["video"], value_set=pa.array(sorted(videos), pa.string())))
        for row in wanted.to_pylist():
            paths[row["source"], row["video"]] = os.fsdecode(row["path"]), row["start_s"] or 0.0
    return paths


def _clip_tile(run: RunFolder, decision: Decision) -> Picture:
    key = decision.clips[0]
    data: str | None = None
    try:
        with ShardReader(run.unit_folder(decision.generation, decision.unit) / PART) as reader:
            members = reader.index.by_key()[key]
            if "mp4" in members:
                frame = clip_frame(reader.read(members["mp4"]), decision.span.frames // 2)
                data = None if frame is None else _encoded(frame)
    except (FaultError, KeyError):
        data = None
    return Picture(decision.video, _where(decision), key, data)


def _span_tile(decision: Decision, roots: dict[str, Path], paths: dict[tuple[str, str], tuple[str, float]]) -> Picture:
    root = roots.get(decision.source)
    place = paths.get((decision.source, decision.video))
    frame = None
    if root is not None and place is not None:
        path, start_s = place
        frame = picture_at(root / path, start_s + (decision.span.start_s + decision.span.stop_s) / 2, _MEDIA)
    sign = {"<=": ">", ">=": "<"}.get(decision.operator or "", "?")
    detail = f"{decision.score:g} {sign} {decision.threshold:g}" if decision.score is not None else ""
    return Picture(decision.video, _where(decision), detail, None if frame is None else _encoded(frame))


def _encoded(frame: Any) -> str:
    picture, _ = Converter().long_side(frame, _THUMB_PX, "bgr24")
    return base64.b64encode(crop.jpeg(picture, 75)).decode()


def _where(decision: Decision) -> str:
    return f"{decision.source}, {decision.span.start_s:.2f} to {decision.span.stop_s:.2f} s"


def _failures(table: pa.Table) -> list[Decision]:
    """The failed rows, at most 200."""
    return from_table(table.filter(pc.equal(table["status"], "failed")).slice(0, 200))


def _slowest(run: RunFolder) -> list[tuple[str, float]]:
    """(stage, seconds of all workers), slowest first, from the log."""
    sums: dict[str, float] = {}
    try:
        lines = (run.log_folder / "units.jsonl").read_text("utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            for stage, seconds in json.loads(line)["stage_seconds"].items():
                sums[stage] = sums.get(stage, 0.0) + float(seconds)
        except (ValueError, KeyError, AttributeError):
            continue
    return sorted(sums.items(), key=lambda item: -item[1])
