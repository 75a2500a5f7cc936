"""What another threshold would have decided, from the ledger alone: no video is read.

Every check of a span is in the ledger, up to the stage that rejected it. A stricter threshold is answered exactly. A
laxer one lets spans through that later stages never saw: how those would have ended is unknown, and is counted as such.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from avf_shards.config import flatten, merge, override, unknown_key
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.recipe import make_recipe
from avf_curation.stages.checks import DECIDES, OF_BACKEND, STAGES

# Settings that only decide, and the checks whose threshold they are. All others change what is measured, or the spans.
_SPANS = ("scenes", "silence", "plan", "media")
_COLUMNS = ("source", "status", "stage", "reason", "start_frame", "stop_frame", "checks")
_LAST = "quality/watermark_pooled"  # nothing comes after it


@dataclass(frozen=True, kw_only=True)
class SourceWhatIf:
    """Frames of one source, before and after. unknown: would pass here, but later stages never saw them.

    now_rejected: check -> frames; unknown_after: stage that rejected them before -> frames. sampled: would pass here
    too, and were measured on (gates.score_all): later stages did see them; sampled_pass: of those, would be kept.
    """

    kept_before: int
    kept_after: int
    rejected: int
    admitted: int
    unknown: int
    unknown_spans: int
    sampled: int
    sampled_spans: int
    sampled_pass: int
    sampled_pass_spans: int
    spans: int
    now_rejected: dict[str, int]
    unknown_after: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """The answer. thresholds: source -> check -> the threshold asked for ("" stands for all sources)."""

    thresholds: dict[str, dict[str, float]]
    sources: dict[str, SourceWhatIf]

    def as_json(self) -> dict[str, Any]:
        """The shape that --json prints."""
        return asdict(self)


def requested_thresholds(settings: Sequence[str], identity: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Source -> check -> threshold, of "--set" texts. Raises UserError for what is no threshold, with the reason."""
    values: dict[str, Any] = {}
    for text in settings:
        values = merge(values, override(text, yaml.safe_load, yaml.YAMLError, "sync.min_confidence=4"))
    if not values:
        raise UserError("--set is missing: which threshold would be another? as in --set sync.min_confidence=4")
    make_recipe(merge(identity["settings"], values))  # refuses what no recipe may hold
    found: dict[str, dict[str, float]] = {}
    known = set(identity.get("sources", ()))
    for name, value in flatten(values).items():
        source, setting = "", name
        if name.startswith("sources."):
            _, source, setting = name.split(".", 2)
            if source not in known:
                raise UserError(f"{name}: the run has no source {source!r}; it has {', '.join(sorted(known))}")
        found.setdefault(source, {}).update(dict.fromkeys(_checks(setting, identity), float(value)))
    return found


def _checks(setting: str, identity: Mapping[str, Any]) -> tuple[str, ...]:
    stage = setting.partition(".")[0]
    if setting in DECIDES:
        wanted, used = OF_BACKEND.get(setting), identity["backends"].get("sync")
        if wanted is not None and used is not None and wanted not in used:
            raise UserError(f"{setting}: this run measured sync by {used}; that setting is of {wanted}")
        return DECIDES[setting]
    if stage in _SPANS:
        raise UserError(
            f"{setting}: changes which spans there are, and the ledger knows only those it has; curate again"
        )
    if stage in STAGES:
        raise UserError(f"{setting}: changes what is measured, not what is decided; curate again")
    raise UserError(unknown_key(setting, setting, list(DECIDES)))


def what_if_run(run: RunFolder, thresholds: Mapping[str, Mapping[str, float]]) -> WhatIf:
    """Decide a run's ledger anew."""
    return what_if_batches(run.ledger_batches(_COLUMNS), thresholds)


def what_if_batches(batches: Iterator[pa.RecordBatch], thresholds: Mapping[str, Mapping[str, float]]) -> WhatIf:
    """Decide the rows of a ledger anew, some at a time."""
    totals: dict[str, _Total] = {}
    for batch in batches:
        sources = batch.column("source").dictionary_encode() if batch.num_rows else None
        if sources is None:
            continue
        code_R = sources.indices.to_numpy()
        for code, name in enumerate(sources.dictionary.to_pylist()):
            mine = batch.filter(pa.array(code_R == code))
            limits = {**thresholds.get("", {}), **thresholds.get(name, {})}
            totals.setdefault(name, _Total()).add(mine, limits)
    return WhatIf(
        thresholds={s: dict(t) for s, t in thresholds.items()},
        sources={name: totals[name].told() for name in sorted(totals)},
    )


_TABLES = ("now_rejected", "unknown_after")


class _Total:
    """Counts of one source, over batches."""

    def __init__(self) -> None:
        self.counts = {name: 0 for name in SourceWhatIf.__dataclass_fields__ if name not in _TABLES}
        self.now_rejected: dict[str, int] = {}
        self.unknown_after: dict[str, int] = {}

    def add(self, rows: pa.RecordBatch, limits: Mapping[str, float]) -> None:
        """Decide these rows with other limits. Shapes: R rows, C checks."""
        frames_R = pc.subtract(rows.column("stop_frame"), rows.column("start_frame")).to_numpy()
        kept_R = pc.equal(rows.column("status"), "kept").to_numpy(zero_copy_only=False)
        was_rejected_R = pc.equal(rows.column("status"), "rejected").to_numpy(zero_copy_only=False)
        checks = rows.column("checks")
        row_C, flat = checks.value_parent_indices().to_numpy(), checks.flatten()
        limit_C = flat.field("threshold").to_numpy(zero_copy_only=False).copy()
        changed_C, name_C = np.zeros(len(row_C), bool), np.full(len(row_C), -1)
        for number, (name, limit) in enumerate(limits.items()):
            here_C = _is(flat, name)
            limit_C[here_C], name_C[here_C] = limit, number
            changed_C |= here_C
        fails_C = _fails(flat, limit_C)
        fails_R = np.zeros(rows.num_rows, bool)
        fails_R[row_C[fails_C]] = True
        falls_R = kept_R & fails_R
        passes_R = was_rejected_R & ~fails_R
        last_R = _named(rows, _LAST)
        sampled_R = was_rejected_R & _measured_on(rows, row_C, flat, fails_C)
        admitted_R, unknown_R = passes_R & last_R, passes_R & ~last_R & ~sampled_R
        self._count("kept_before", frames_R[kept_R])
        self._count("kept_after", frames_R[(kept_R & ~fails_R) | admitted_R])
        self._count("rejected", frames_R[falls_R])
        self._count("admitted", frames_R[admitted_R])
        for name, chosen_R in (("unknown", unknown_R), ("sampled", sampled_R), ("sampled_pass", sampled_R & passes_R)):
            self._count(name, frames_R[chosen_R])
            self.counts[f"{name}_spans"] += int(chosen_R.sum())
        self.counts["spans"] += rows.num_rows
        first_R = np.full(rows.num_rows, -1)
        decided_C = fails_C & changed_C
        first_R[row_C[decided_C][::-1]] = name_C[decided_C][::-1]  # the first that fails has the last word
        for number, name in enumerate(limits):
            _add(self.now_rejected, name, int(frames_R[falls_R & (first_R == number)].sum()))
        for stage in pc.unique(rows.column("stage").filter(pa.array(unknown_R))).to_pylist():
            of_stage_R = pc.equal(rows.column("stage"), stage).fill_null(False).to_numpy(zero_copy_only=False)
            _add(self.unknown_after, stage, int(frames_R[unknown_R & of_stage_R].sum()))

    def _count(self, name: str, frames: npt.NDArray[np.int64]) -> None:
        self.counts[name] += int(frames.sum())

    def told(self) -> SourceWhatIf:
        return SourceWhatIf(**self.counts, now_rejected=self.now_rejected, unknown_after=self.unknown_after)


def _add(counts: dict[str, int], name: str, frames: int) -> None:
    if frames:
        counts[name] = counts.get(name, 0) + frames


def _measured_on(
    rows: pa.RecordBatch, row_C: npt.NDArray[np.int64], checks: pa.StructArray, fails_C: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Rows that pass up to the stage that rejected them, and that later stages measured nevertheless."""
    order = pa.array(STAGES)
    stage_C = pc.index_in(checks.field("stage"), order).fill_null(-1).to_numpy(zero_copy_only=False)
    stage_R = pc.index_in(rows.column("stage"), order).fill_null(-1).to_numpy(zero_copy_only=False)
    later_C = stage_C > stage_R[row_C]
    stopped_R, later_R = np.zeros(rows.num_rows, bool), np.zeros(rows.num_rows, bool)
    stopped_R[row_C[fails_C & ~later_C]] = True
    later_R[row_C[later_C]] = True
    return later_R & ~stopped_R


def _is(checks: pa.StructArray, name: str) -> npt.NDArray[np.bool_]:
    stage, _, reason = name.partition("/")
    both = pc.and_(pc.equal(checks.field("stage"), stage), pc.equal(checks.field("reason"), reason))
    found: npt.NDArray[np.bool_] = both.to_numpy(zero_copy_only=False)
    return found


def _named(rows: pa.RecordBatch, name: str) -> npt.NDArray[np.bool_]:
    """Rows whose rejection has that name."""
    stage, _, reason = name.partition("/")
    both = pc.and_(pc.equal(rows.column("stage"), stage), pc.equal(rows.column("reason"), reason))
    found: npt.NDArray[np.bool_] = both.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def _fails(checks: pa.StructArray, limit_C: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where a check fails under a limit; a score that could not be measured (null) does not."""
    at_most_C = pc.equal(checks.field("operator"), "<=").to_numpy(zero_copy_only=False)
    score_C = checks.field("score").to_numpy(zero_copy_only=False).astype(float)
    with np.errstate(invalid="ignore"):
        found: npt.NDArray[np.bool_] = np.where(at_most_C, score_C > limit_C, score_C < limit_C)
    return found
