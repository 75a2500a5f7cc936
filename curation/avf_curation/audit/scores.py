"""Every score of a ledger in columns: for pages, calibration, and the question whom a threshold hits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from avf_curation.audit.confidence import Proportion, wilson_interval
from avf_curation.stages.checks import STAGES

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScoreColumns:
    """All comparisons of a ledger. C: comparisons. row_C: ledger row; score_C: NaN where it could not be told."""

    name_C: npt.NDArray[np.object_]
    row_C: npt.NDArray[np.int64]
    score_C: Floats
    threshold_C: Floats
    at_most_C: npt.NDArray[np.bool_]

    def passed(self) -> npt.NDArray[np.bool_]:
        """Which are not failed, (C,): a score that could not be told fails nothing."""
        with np.errstate(invalid="ignore"):
            failed = np.where(self.at_most_C, self.score_C > self.threshold_C, self.score_C < self.threshold_C)
        return ~failed

    def where(self, chosen_C: npt.NDArray[np.bool_]) -> "ScoreColumns":
        """Those comparisons alone."""
        return ScoreColumns(**{name: getattr(self, name)[chosen_C] for name in self.__dataclass_fields__})


def score_columns(table: pa.Table, stage: str | None = None) -> ScoreColumns:
    """The comparisons of a ledger (of one stage), without those made past a rejection (gates.score_all)."""
    column = table["checks"].combine_chunks()
    checks = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
    if isinstance(checks, pa.ChunkedArray):
        empty = np.zeros(0)
        return ScoreColumns(
            name_C=empty.astype(object),
            row_C=empty.astype(np.int64),
            score_C=empty,
            threshold_C=empty,
            at_most_C=empty.astype(bool),
        )
    flat = checks.flatten()
    row_C = checks.value_parent_indices().to_numpy()
    order = pa.array(STAGES)
    stage_C = pc.index_in(flat.field("stage"), order).fill_null(-1).to_numpy(zero_copy_only=False)
    last_R = pc.index_in(table["stage"], order).fill_null(len(STAGES)).to_numpy()
    names = pc.binary_join_element_wise(flat.field("stage"), flat.field("reason"), "/").dictionary_encode()
    whole = ScoreColumns(
        name_C=np.array(names.dictionary.to_pylist(), object)[
            names.indices.to_numpy()
        ],  # one text each, shared: millions of rows
        row_C=row_C,
        score_C=flat.field("score").to_numpy(zero_copy_only=False).astype(float),
        threshold_C=flat.field("threshold").to_numpy(zero_copy_only=False),
        at_most_C=pc.equal(flat.field("operator"), "<=").to_numpy(zero_copy_only=False),
    )
    chosen_C = stage_C <= last_R[row_C]
    return whole.where(chosen_C if stage is None else chosen_C & (stage_C == STAGES.index(stage)))


@dataclass(frozen=True, kw_only=True)
class LanguageScores:
    """One comparison in one source and language. quartiles: of the scores; passed: with its interval."""

    check: str
    source: str
    language: str
    spans: int
    quartiles: tuple[float, float, float]
    threshold: float
    passed: Proportion


def scores_by_language(table: pa.Table, stage: str = "sync") -> list[LanguageScores]:
    """The scores of a stage per source and language; empty where no language is known."""
    if not table.num_rows or table["language"].null_count == table.num_rows:
        return []
    scores = score_columns(table, stage)
    scores = scores.where(~np.isnan(scores.score_C))
    rows = table.select(["source", "language"]).take(pa.array(scores.row_C))
    group_C = pc.binary_join_element_wise(
        rows["source"], rows["language"].fill_null("not known"), pa.array(scores.name_C, pa.string()), "\0"
    ).to_numpy(zero_copy_only=False)
    found = []
    for group in sorted(set(group_C)):
        mine = scores.where(np.asarray(group_C == group))
        source, language, check = group.split("\0")
        quartiles: Any = tuple(float(v) for v in np.percentile(mine.score_C, [25, 50, 75]))
        passed = wilson_interval(int(mine.passed().sum()), len(mine.score_C))
        threshold = float(mine.threshold_C[0])
        found.append(
            LanguageScores(
                check=check,
                source=source,
                language=language,
                spans=len(mine.score_C),
                quartiles=quartiles,
                threshold=threshold,
                passed=passed,
            )
        )
    return sorted(found, key=lambda one: (one.check, one.language, one.source))
