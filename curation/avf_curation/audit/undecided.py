"""Kept spans by gate: how many passed every check, and how many have a check that could not be measured."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.schema.check_columns import Bools, CheckColumns, Integers, flatten_checks

from avf_curation.stages.checks import order_stages
from avf_curation.stages.undecided import POOLED, WATERMARK


@dataclass(frozen=True, kw_only=True)
class GateCount:
    """The kept spans of one source that a gate decided."""

    passed: int  # every check was measured and passed
    not_measured: int  # a check could not be measured, and none failed
    checks: dict[str, int]  # reason of a check that could not be measured -> spans

    def plus(self, other: "GateCount") -> "GateCount":
        """Return the counts of two parts of a ledger together."""
        checks = {
            name: self.checks.get(name, 0) + other.checks.get(name, 0) for name in sorted({*self.checks, *other.checks})
        }
        return GateCount(
            passed=self.passed + other.passed, not_measured=self.not_measured + other.not_measured, checks=checks
        )

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return asdict(self)


def count_gates(batches: Iterable[pa.RecordBatch]) -> dict[str, dict[str, GateCount]]:
    """Return source -> stage -> counts of kept spans, for each stage that decided at least one of them.

    Args:
        batches: of a ledger, with the columns source, status and checks.
    """
    totals: dict[str, dict[str, GateCount]] = {}
    for batch in batches:
        for source, counts in _count_batch(batch).items():
            stages = totals.setdefault(source, {})
            for stage, count in counts.items():
                stages[stage] = stages[stage].plus(count) if stage in stages else count
    return {
        source: {stage: totals[source][stage] for stage in order_stages(totals[source]) if stage in totals[source]}
        for source in sorted(totals)
    }


def _count_batch(table: pa.RecordBatch) -> dict[str, dict[str, GateCount]]:
    kept_spans = table.select(["source", "status", "checks"]).filter(pc.equal(table["status"], "kept"))
    if not kept_spans.num_rows:
        return {}
    sources = kept_spans["source"].dictionary_encode()
    names, source_R = sources.dictionary.to_pylist(), sources.indices.to_numpy()
    checks = flatten_checks(kept_spans)
    open_C = find_undecided(checks, kept_spans.num_rows)
    stages = order_stages(checks.stages)
    rank_C = checks.stage_rank(stages)
    counts: dict[str, dict[str, GateCount]] = {name: {} for name in sorted(names)}
    for rank, stage in enumerate(stages):
        decided_S = _rows_per_source(checks.row_C[rank_C == rank], source_R, len(names))
        open_S = _rows_per_source(checks.row_C[open_C & (rank_C == rank)], source_R, len(names))
        reasons = {
            name.partition("/")[2]: _rows_per_source(checks.row_C[open_C & checks.is_named(name)], source_R, len(names))
            for name in checks.names
            if name.partition("/")[0] == stage
        }
        for code, name in enumerate(names):
            if decided_S[code]:
                open_reasons = {reason: int(count_S[code]) for reason, count_S in reasons.items() if count_S[code]}
                counts[name][stage] = GateCount(
                    passed=int(decided_S[code] - open_S[code]), not_measured=int(open_S[code]), checks=open_reasons
                )
    return counts


def _rows_per_source(row_C: Integers, source_R: Integers, sources: int) -> Integers:
    """Return the number of different rows of each source."""
    named_R = np.zeros(len(source_R), bool)
    named_R[row_C] = True
    return np.bincount(source_R[named_R], minlength=sources)


def find_undecided(checks: CheckColumns, rows: int) -> Bools:
    """Return which checks could not be measured, (C,), as `avf_curation.stages.undecided` counts them.

    Args:
        rows: Number of rows that the checks belong to.
    """
    row_C, open_C = checks.row_C, np.isnan(checks.score_C)
    alone_C, pooled_C = checks.is_named(f"quality/{WATERMARK}"), checks.is_named(f"quality/{POOLED}")
    seen_R, open_alone_R = np.zeros(rows, bool), np.zeros(rows, bool)
    seen_R[row_C[(alone_C | pooled_C) & ~open_C]] = True
    open_alone_R[row_C[alone_C & open_C]] = True
    repeated_C: Bools = ((alone_C | pooled_C) & seen_R[row_C]) | (pooled_C & open_alone_R[row_C])
    return open_C & ~repeated_C
