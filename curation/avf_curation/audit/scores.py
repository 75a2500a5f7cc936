"""The scores of a ledger in columns, for reports and calibration, and by language."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.schema.check_columns import CheckColumns, flatten_checks
from avf_shards.schema.estimate import Estimate

from avf_curation.audit.confidence import wilson_interval
from avf_curation.stages.checks import STAGES


def select_reached_checks(table: pa.Table, stage: str | None = None) -> CheckColumns:
    """Return the checks of a ledger or of one stage, without the checks made after a rejection (gates.score_all)."""
    checks = flatten_checks(table)
    rank_C = checks.stage_rank(STAGES)
    last_R = pc.index_in(table["stage"], pa.array(STAGES)).fill_null(len(STAGES)).to_numpy()
    reached_C = rank_C <= last_R[checks.row_C]
    return checks.where(reached_C if stage is None else reached_C & (rank_C == STAGES.index(stage)))


@dataclass(frozen=True, kw_only=True)
class LanguageScores:
    """Scores of one check in one source and language."""

    check: str  # "stage/reason"
    source: str  # name of the source
    language: str  # code, or "not known"
    spans: int  # that have a score
    quartiles: tuple[float, float, float]  # of the scores
    threshold: float  # in use
    passed: Estimate  # share of spans that pass the threshold, with its Wilson interval


def scores_by_language(table: pa.Table, stage: str = "sync") -> list[LanguageScores]:
    """Return the scores of a stage per source and language; an empty list where no language is known."""
    if not table.num_rows or table["language"].null_count == table.num_rows:
        return []
    scores = select_reached_checks(table, stage)
    scores = scores.where(~np.isnan(scores.score_C))
    rows = table.select(["source", "language"]).take(pa.array(scores.row_C))
    group_C = pc.binary_join_element_wise(
        rows["source"],
        rows["language"].fill_null("not known"),
        pa.array(scores.names).take(pa.array(scores.name_C)),
        "\0",
    ).to_numpy(zero_copy_only=False)
    entries = []
    for group in sorted(set(group_C)):
        group_scores = scores.where(np.asarray(group_C == group))
        source, language, check = group.split("\0")
        quartiles: Any = tuple(float(v) for v in np.percentile(group_scores.score_C, [25, 50, 75]))
        passed = wilson_interval(int((~group_scores.fails()).sum()), len(group_scores.score_C))
        threshold = float(group_scores.threshold_C[0])
        entries.append(
            LanguageScores(
                check=check,
                source=source,
                language=language,
                spans=len(group_scores.score_C),
                quartiles=quartiles,
                threshold=threshold,
                passed=passed,
            )
        )
    return sorted(entries, key=lambda entry: (entry.check, entry.language, entry.source))
