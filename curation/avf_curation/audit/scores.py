"""The scores of a ledger in columns, for reports and calibration, and by language."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.estimate import Estimate
from avf_shards.schema.check_columns import CheckColumns, flatten_checks

from avf_curation.audit.confidence import wilson_interval
from avf_curation.stages.checks import STAGES


def reached_checks(table: pa.Table, stage: str | None = None) -> CheckColumns:
    """Return the checks of a ledger, or of one stage of it, without those made past a rejection (gates.score_all)."""
    checks = flatten_checks(table)
    rank_C = checks.stage_rank(STAGES)
    last_R = pc.index_in(table["stage"], pa.array(STAGES)).fill_null(len(STAGES)).to_numpy()
    reached_C = rank_C <= last_R[checks.row_C]
    return checks.where(reached_C if stage is None else reached_C & (rank_C == STAGES.index(stage)))


@dataclass(frozen=True, kw_only=True)
class LanguageScores:
    """Scores of one check in one source and language."""

    check: str  # "stage/reason"
    source: str
    language: str
    spans: int
    quartiles: tuple[float, float, float]  # of the scores
    threshold: float
    passed: Estimate  # share of spans, with its Wilson interval


def scores_by_language(table: pa.Table, stage: str = "sync") -> list[LanguageScores]:
    """Return the scores of a stage per source and language; none where no language is known."""
    if not table.num_rows or table["language"].null_count == table.num_rows:
        return []
    scores = reached_checks(table, stage)
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
        of_group = scores.where(np.asarray(group_C == group))
        source, language, check = group.split("\0")
        quartiles: Any = tuple(float(v) for v in np.percentile(of_group.score_C, [25, 50, 75]))
        passed = wilson_interval(int((~of_group.fails()).sum()), len(of_group.score_C))
        threshold = float(of_group.threshold_C[0])
        entries.append(
            LanguageScores(
                check=check,
                source=source,
                language=language,
                spans=len(of_group.score_C),
                quartiles=quartiles,
                threshold=threshold,
                passed=passed,
            )
        )
    return sorted(entries, key=lambda entry: (entry.check, entry.language, entry.source))
