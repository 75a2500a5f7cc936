"""The scores of a ledger in columns, for reports and calibration, and by language."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.schema.check_columns import CheckColumns, Floats, flatten_checks
from avf_shards.schema.estimate import Estimate

from avf_curation.audit.confidence import wilson_interval
from avf_curation.stages.checks import order_stages

LANGUAGE_COLUMNS = ("source", "language", "stage", "checks")


def select_reached_checks(table: pa.Table | pa.RecordBatch, stage: str | None = None) -> CheckColumns:
    """Return the checks of a ledger or of one stage, without the checks made after a rejection (gates.score_all)."""
    checks = flatten_checks(table)
    stages = order_stages(checks.stages)
    rank_C = checks.stage_rank(stages)
    last_R = pc.index_in(table["stage"], pa.array(stages)).fill_null(len(stages)).to_numpy()
    reached_C = rank_C <= last_R[checks.row_C]
    return checks.where(reached_C if stage is None else reached_C & (rank_C == stages.index(stage)))


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


def names_languages(batches: Iterable[pa.RecordBatch]) -> bool:
    """Return whether a span of a ledger has a language. batches: of a ledger, with the column language."""
    return any(batch["language"].null_count < batch.num_rows for batch in batches)


def scores_by_language(batches: Iterable[pa.RecordBatch], stage: str = "sync") -> list[LanguageScores]:
    """Return the scores of a stage per source and language; an empty list where no language is known.

    Args:
        batches: of a ledger, with the columns of LANGUAGE_COLUMNS.
    """
    scores: dict[tuple[str, str, str], list[Floats]] = {}
    passed: dict[tuple[str, str, str], int] = {}
    thresholds: dict[tuple[str, str, str], float] = {}
    known = False
    for batch in batches:
        known |= batch["language"].null_count < batch.num_rows
        reached = select_reached_checks(batch, stage)
        measured = reached.where(~np.isnan(reached.score_C))
        groups = pc.binary_join_element_wise(
            batch["source"].take(pa.array(measured.row_C)),
            batch["language"].fill_null("not known").take(pa.array(measured.row_C)),
            pa.array(measured.names, pa.string()).take(pa.array(measured.name_C)),
            "\0",
        ).dictionary_encode()
        code_C, failed_C = groups.indices.to_numpy(), measured.fails()
        for code, name in enumerate(groups.dictionary.to_pylist()):
            source, language, check = name.split("\0")
            group, here_C = (check, language, source), np.equal(code_C, code)
            scores.setdefault(group, []).append(measured.score_C[here_C])
            passed[group] = passed.get(group, 0) + int((~failed_C[here_C]).sum())
            thresholds.setdefault(group, float(measured.threshold_C[here_C][0]))
    if not known:
        return []
    entries = []
    for (check, language, source), parts in sorted(scores.items()):
        score_S = np.concatenate(parts)
        quartiles: Any = tuple(float(value) for value in np.percentile(score_S, [25, 50, 75]))
        entries.append(
            LanguageScores(
                check=check,
                source=source,
                language=language,
                spans=len(score_S),
                quartiles=quartiles,
                threshold=thresholds[check, language, source],
                passed=wilson_interval(passed[check, language, source], len(score_S)),
            )
        )
    return entries
