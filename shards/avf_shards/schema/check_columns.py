"""The checks of many ledger rows as flat columns, and where they fail under a threshold."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CheckColumns:
    """All checks of some ledger rows, in ledger order. C: checks."""

    names: tuple[str, ...]  # the distinct checks, as "stage/reason", in order of first appearance
    settings: tuple[str, ...]  # the distinct settings that thresholds come from
    row_C: Integers  # row that the check belongs to
    name_C: Integers  # index into `names`
    setting_C: Integers  # index into `settings`, -1 for a threshold that is no setting
    score_C: Floats  # NaN where nothing could be measured
    threshold_C: Floats  # limit that the score was compared with
    at_most_C: Bools  # operator "<=", otherwise ">="

    @property
    def stages(self) -> tuple[str, ...]:
        """The distinct stages of the checks, in order of first appearance."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.names))

    def fails(self, limit_C: Floats | float | None = None) -> Bools:
        """Return which checks fail, (C,), under their own threshold or under `limit_C`.

        This is `Check.fails` for columns: a score that could not be measured fails no limit.
        """
        limit_C = self.threshold_C if limit_C is None else limit_C
        with np.errstate(invalid="ignore"):  # NaN compares false
            failed_C: Bools = np.where(self.at_most_C, self.score_C > limit_C, self.score_C < limit_C)
        return failed_C

    def is_laxer(self, limit: float) -> Bools:
        """Return where `limit` would let scores pass that the threshold rejects, (C,)."""
        laxer_C: Bools = np.where(self.at_most_C, limit > self.threshold_C, limit < self.threshold_C)
        return laxer_C

    def is_named(self, name: str) -> Bools:
        """Return which checks are "stage/reason", (C,)."""
        return np.equal(self.name_C, _index(self.names, name))

    def uses_setting(self, setting: str) -> Bools:
        """Return which checks have their threshold from this setting, (C,)."""
        return np.equal(self.setting_C, _index(self.settings, setting))

    def stage_rank(self, stages: tuple[str, ...]) -> Integers:
        """Return the position of each check's stage in `stages`, (C,); -1 for a stage that is not among them."""
        ranks = [_index(stages, name.partition("/")[0]) for name in self.names]
        return np.array([*ranks, -1])[self.name_C]

    def settings_of_names(self) -> list[tuple[str, str]]:
        """Return the pairs of check and setting that occur, in the order of `names`."""
        width = len(self.settings) + 1  # column 0 counts thresholds that are no setting
        used = np.flatnonzero(np.bincount(self.name_C * width + self.setting_C + 1))
        return [(self.names[code // width], self.settings[code % width - 1]) for code in used if code % width]

    def where(self, chosen_C: Bools | Integers) -> "CheckColumns":
        """Return the chosen checks alone: those that are True, or those at these positions."""
        columns = ("row_C", "name_C", "setting_C", "score_C", "threshold_C", "at_most_C")
        return replace(self, **{column: getattr(self, column)[chosen_C] for column in columns})


def flatten_checks(rows: pa.Table | pa.RecordBatch) -> CheckColumns:
    """Return the checks of a table or batch that has the ledger's column `checks`."""
    column = rows.column("checks")
    checks = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = checks.flatten()
    names, name_C = _encode_names(flat.field("stage"), flat.field("reason"))
    settings, setting_C = _encode(flat.field("setting"))
    return CheckColumns(
        names=names,
        settings=settings,
        row_C=checks.value_parent_indices().to_numpy(),
        name_C=name_C,
        setting_C=setting_C,
        score_C=flat.field("score").to_numpy(zero_copy_only=False).astype(float),
        threshold_C=flat.field("threshold").to_numpy(zero_copy_only=False),
        at_most_C=pc.equal(flat.field("operator"), "<=").to_numpy(zero_copy_only=False),
    )


def _encode_names(stages: pa.Array, reasons: pa.Array) -> tuple[tuple[str, ...], Integers]:
    """Return the distinct "stage/reason", and the index of each check among them, without making a text for each."""
    stage_codes, reason_codes = stages.dictionary_encode(), reasons.dictionary_encode()
    stage_names, reason_names = stage_codes.dictionary.to_pylist(), reason_codes.dictionary.to_pylist()
    # In Arrow: an array of numpy that becomes one of Arrow imports numpy.ma, which takes a tenth of a second.
    firsts = pc.multiply(stage_codes.indices.cast(pa.int64()), len(reason_names))
    code_C = pc.add(firsts, reason_codes.indices.cast(pa.int64())).dictionary_encode()
    names = tuple(
        f"{stage_names[code // len(reason_names)]}/{reason_names[code % len(reason_names)]}"
        for code in code_C.dictionary.to_pylist()
    )
    return names, code_C.indices.to_numpy().astype(np.int64)


def _encode(texts: pa.Array) -> tuple[tuple[str, ...], Integers]:
    """Return the distinct texts, and the index of each text among them (-1 for null)."""
    encoded = texts.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return tuple(encoded.dictionary.to_pylist()), codes


def _index(values: tuple[str, ...], value: str) -> int:
    """Return the index of `value`, or -2: -1 stands for null."""
    return values.index(value) if value in values else -2
