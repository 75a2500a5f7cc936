"""Verdicts under other thresholds, from the ledger alone: no video is read.

The ledger has every check of a span up to the stage that rejected the span. So a stricter threshold is decided exactly.
A laxer threshold admits spans that later stages never measured: their verdicts are unknown and are counted as unknown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.check_columns import CheckColumns, flatten_checks
from avf_shards.schema.fields import Fields
from avf_shards.schema.ledger import parse_measurements
from avf_shards.settings.config import flatten, merge
from avf_shards.settings.yaml_settings import YamlSettings

from avf_curation.audit.undecided import find_undecided
from avf_curation.audit.unused_settings import explain_unused
from avf_curation.recipe import Recipe, make_recipe, read_run_recipe
from avf_curation.stages.checks import PICTURE_STAGES, THRESHOLD_SETTINGS, decides_spans, order_stages
from avf_curation.stages.sync import tells_offset
from avf_curation.stages.undecided import UNDECIDED

# Decide which offsets count; no check has them as its threshold. -> the setting of the check that they decide for.
_OFFSET_OF = {
    "sync.envelope_min_confidence": "sync.envelope_max_offset_frames",
    "sync.learned_min_confidence": "sync.learned_max_offset_frames",
}
_COLUMNS = ("source", "status", "stage", "reason", "start_frame", "stop_frame", "checks")
# No stage measures after these, so an admitted span is kept.
_LAST_CHECKS = ("quality/watermark_pooled", f"quality/{UNDECIDED}")
_MEASURED = "ledger: measurements"  # in messages
_UNDECIDED = "gates.undecided."
_LIMITS = {"keep": float("inf"), "reject": 0.0}  # checks of a stage that a span may have without a score


@dataclass(frozen=True, kw_only=True)
class SourceWhatIf:
    """Frames of one source under the thresholds of the run and under others."""

    kept_before: int  # frames that the run kept
    kept_after: int  # frames kept under the other thresholds
    rejected: int  # kept before, rejected now
    admitted: int  # rejected before, kept now
    unknown: int  # would pass the stage that rejected them, but later stages never measured them
    unknown_spans: int  # number of spans that `unknown` counts in frames
    sampled: int  # would pass, and later stages did measure them (gates.score_all)
    sampled_spans: int  # number of spans of `sampled`
    sampled_pass: int  # of `sampled`: would be kept
    sampled_pass_spans: int  # number of spans of `sampled_pass`
    spans: int  # of the source in the ledger
    now_rejected: dict[str, int]  # check -> frames of `rejected`
    unknown_after: dict[str, int]  # stage that rejected them before -> frames of `unknown`


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """Verdicts of a run under other thresholds."""

    #: Source ("": every source) -> check -> requested threshold, or "keep" or "reject" for STAGE/undecided.
    thresholds: dict[str, dict[str, float | str]]
    notes: dict[str, str]  # requested setting that changes nothing in this run -> why
    sources: dict[str, SourceWhatIf]  # by name

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class WhatIfRequest:
    """The thresholds that a what-if is asked for."""

    thresholds: dict[str, dict[str, float]]  # source ("": every source) -> setting -> threshold
    notes: dict[str, str]  # requested setting that this run does not use -> why it changes nothing
    added_thresholds: frozenset[str] = frozenset()  # settings of packages' stages that are thresholds


def parse_request(settings: Sequence[str], identity: RunIdentity) -> WhatIfRequest:
    """Return what the texts of --set ask for.

    Raises:
        UserError: a recipe has no such setting, the setting decides which spans exist, or the value is no number.
    """
    given = YamlSettings(values={})
    for text in settings:
        given = given.override(text, "quality.min_sharpness=40")
    values = given.values
    given.start_faults().raise_all()
    if not values:
        raise UserError("no --set given: name the threshold to change, as in --set quality.min_sharpness=40")
    recipe = read_run_recipe(identity)
    make_recipe(merge(recipe.values, values))  # refuses a setting or a value that no recipe may have
    requested: dict[str, dict[str, float]] = {}
    notes: dict[str, str] = {}
    known = set(identity.sources)
    for name, value in flatten(values).items():
        source, setting = "", name
        if name.startswith("sources."):
            _, source, setting = name.split(".", 2)
            if source not in known:
                raise UserError(f"{name}: the run has no source {source!r}; it has {', '.join(sorted(known))}")
        if decides_spans(setting) or setting.partition(".")[0] in ("plan", "media"):
            raise UserError(
                f"{setting}: decides which spans exist, and the ledger knows only the spans of its run; curate again"
            )
        if setting.startswith(_UNDECIDED):
            value = _LIMITS[value]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{setting}: {value!r} is not a threshold; curate again to see what it changes")
        reasons = [_explain_no_change(setting, recipe, s, identity) for s in ([source] if source else identity.sources)]
        if reasons and reasons[0] is not None and None not in reasons:
            notes[name] = reasons[0]
        else:
            requested.setdefault(source, {})[setting] = float(value)
    added = (each.stage for each in recipe.defaults.added_stages)
    added_thresholds = frozenset(f"{stage.name}.{name}" for stage in added for name in stage.thresholds)
    return WhatIfRequest(thresholds=requested, notes=notes, added_thresholds=added_thresholds)


def _explain_no_change(setting: str, recipe: Recipe, source: str, identity: RunIdentity) -> str | None:
    """Return why another value of a setting changes no verdict on a source, or None where it may change some."""
    settings = recipe.settings_for(source)
    stage = setting.partition(".")[0]
    if setting.startswith(_UNDECIDED):
        stage = setting.removeprefix(_UNDECIDED)
    if getattr(settings.gates, stage, None) == "measure":
        return f"gates.{stage} is measure, so this stage rejects nothing"
    return explain_unused(setting, settings, identity.backends)


def what_if_run(run: RunFolder, request: WhatIfRequest) -> WhatIf:
    """Decide the ledger of a run under other thresholds."""
    needs_offsets = any(_OFFSET_OF.keys() & limits.keys() for limits in request.thresholds.values())
    return what_if_batches(run.ledger_batches((*_COLUMNS, "measurements") if needs_offsets else _COLUMNS), request)


def what_if_batches(batches: Iterator[pa.RecordBatch], request: WhatIfRequest) -> WhatIf:
    """Decide the rows of a ledger under other thresholds, one batch at a time.

    Raises:
        UserError: no check uses a setting as its threshold.
    """
    thresholds = request.thresholds
    totals: dict[str, _Total] = {}
    for batch in batches:
        sources = batch.column("source").dictionary_encode() if batch.num_rows else None
        if sources is None:
            continue
        code_R = sources.indices.to_numpy()
        for code, name in enumerate(sources.dictionary.to_pylist()):
            rows = batch.filter(pa.array(code_R == code))
            limits = {**thresholds.get("", {}), **thresholds.get(name, {})}
            totals.setdefault(name, _Total()).add(rows, limits)
    notes = dict(request.notes)
    return WhatIf(
        thresholds=_name_checks(request, totals.values(), notes),
        notes=notes,
        sources={name: totals[name].summary() for name in sorted(totals)},
    )


def _name_checks(
    request: WhatIfRequest, totals: Iterable["_Total"], notes: dict[str, str]
) -> dict[str, dict[str, float | str]]:
    """Return source -> check -> threshold, and add a note on each threshold that no check of the ledger has.

    Raises UserError for a setting that is no threshold.
    """
    checks: dict[str, dict[str, None]] = {}
    for total in totals:
        for setting, names in total.checks.items():
            checks.setdefault(setting, {}).update(names)
    requested: dict[str, dict[str, float | str]] = {}
    known_thresholds = {*THRESHOLD_SETTINGS, *_OFFSET_OF, *request.added_thresholds}
    for source, limits in request.thresholds.items():
        for setting, limit in limits.items():
            is_threshold = setting in known_thresholds or setting.startswith(_UNDECIDED)
            if setting not in checks and is_threshold:
                notes[setting] = "no span of this run reached a check that uses it"
                continue
            if setting not in checks:
                known = ", ".join(sorted(name for name in checks if not decides_spans(name)))
                raise UserError(
                    f"{setting}: no check in this ledger uses it as a threshold, so the ledger cannot tell its effect; "
                    f"curate again. Settings that checks use: {known or 'none'}"
                )
            shown = next((word for word, value in _LIMITS.items() if value == limit), limit)
            values = dict.fromkeys(checks[setting], shown if setting.startswith(_UNDECIDED) else limit)
            requested.setdefault(source, {}).update(values)
    return requested


_TABLE_FIELDS = ("now_rejected", "unknown_after")


class _Total:
    """Counts of one source, over batches."""

    def __init__(self) -> None:
        self.counts = {name: 0 for name in SourceWhatIf.__dataclass_fields__ if name not in _TABLE_FIELDS}
        self.now_rejected: dict[str, int] = {}
        self.unknown_after: dict[str, int] = {}
        self.checks: dict[str, dict[str, None]] = {}  # setting -> checks that use it, in ledger order

    def add(self, rows: pa.RecordBatch, limits: Mapping[str, float]) -> None:
        """Decide a batch of rows with other limits (setting -> threshold). Shapes: R rows, C checks."""
        frames_R = pc.subtract(rows.column("stop_frame"), rows.column("start_frame")).to_numpy()
        kept_R = pc.equal(rows.column("status"), "kept").to_numpy(zero_copy_only=False)
        was_rejected_R = pc.equal(rows.column("status"), "rejected").to_numpy(zero_copy_only=False)
        checks = flatten_checks(rows)
        for confidence in _OFFSET_OF.keys() & limits.keys():
            checks = _with_confident_offsets(rows, checks, _OFFSET_OF[confidence], limits[confidence])
        for setting in limits:
            if setting.startswith(_UNDECIDED):
                checks = _with_undecided(checks, rows.num_rows, setting)
        self._add_settings(checks)
        limit_C, changed_C = checks.threshold_C.copy(), np.zeros(len(checks.row_C), bool)
        for setting, limit in limits.items():
            if setting in _OFFSET_OF:
                changed_C |= checks.uses_setting(_OFFSET_OF[setting])
                continue
            chosen_C = checks.uses_setting(setting)
            limit_C[chosen_C] = limit
            changed_C |= chosen_C
        row_C, fails_C = checks.row_C, checks.fails(limit_C)
        fails_R = np.zeros(rows.num_rows, bool)
        fails_R[row_C[fails_C]] = True
        rejected_R = kept_R & fails_R
        passes_R = was_rejected_R & ~fails_R
        last_R = np.logical_or.reduce([_is_rejected_by(rows, check) for check in _LAST_CHECKS])
        last_R |= _is_last_stage_of_picture(rows, checks)
        sampled_R = was_rejected_R & _is_measured_past_rejection(rows, checks, fails_C)
        admitted_R, unknown_R = passes_R & last_R, passes_R & ~last_R & ~sampled_R
        self._count("kept_before", frames_R[kept_R])
        self._count("kept_after", frames_R[(kept_R & ~fails_R) | admitted_R])
        self._count("rejected", frames_R[rejected_R])
        self._count("admitted", frames_R[admitted_R])
        for name, chosen_R in (("unknown", unknown_R), ("sampled", sampled_R), ("sampled_pass", sampled_R & passes_R)):
            self._count(name, frames_R[chosen_R])
            self.counts[f"{name}_spans"] += int(chosen_R.sum())
        self.counts["spans"] += rows.num_rows
        first_R = np.full(rows.num_rows, -1)
        decided_C = fails_C & changed_C
        # In reverse order, so that the first failing check of a row is written last and stays.
        first_R[row_C[decided_C][::-1]] = checks.name_C[decided_C][::-1]
        for number, name in enumerate(checks.names):
            _add(self.now_rejected, name, int(frames_R[rejected_R & (first_R == number)].sum()))
        for stage in pc.unique(rows.column("stage").filter(pa.array(unknown_R))).to_pylist():
            of_stage_R = pc.equal(rows.column("stage"), stage).fill_null(False).to_numpy(zero_copy_only=False)
            _add(self.unknown_after, stage, int(frames_R[unknown_R & of_stage_R].sum()))

    def _add_settings(self, checks: CheckColumns) -> None:
        for name, setting in checks.settings_of_names():
            self.checks.setdefault(setting, {})[name] = None
            for confidence in (name for name, offset in _OFFSET_OF.items() if offset == setting):
                self.checks.setdefault(confidence, {})[f"{name} (confidence)"] = None

    def _count(self, name: str, frames: npt.NDArray[np.int64]) -> None:
        self.counts[name] += int(frames.sum())

    def summary(self) -> SourceWhatIf:
        return SourceWhatIf(**self.counts, now_rejected=self.now_rejected, unknown_after=self.unknown_after)


def _with_confident_offsets(rows: pa.RecordBatch, checks: CheckColumns, offset: str, limit: float) -> CheckColumns:
    """Return the checks with the offsets of a backend that are at least as confident as `limit`.

    Args:
        offset: the setting of the backend that its offsets are compared with.
    """
    score_C = checks.score_C.copy()
    for check in np.flatnonzero(checks.uses_setting(offset)):
        text = rows.column("measurements")[int(checks.row_C[check])].as_py()
        measured = Fields(parse_measurements(text, _MEASURED).get("sync", {}), f"{_MEASURED}: sync")
        frames = measured.optional_number("offset_frames")
        score_C[check] = np.nan
        if frames is not None and tells_offset(measured.optional_number("confidence"), limit):
            score_C[check] = abs(frames)
    return replace(checks, score_C=score_C)


def _with_undecided(checks: CheckColumns, rows: int, setting: str) -> CheckColumns:
    """Return the checks with one more for each row that a stage decided: its checks that could not be measured.

    Checks of this name that the ledger has, because the run rejected undecided spans, are replaced.
    """
    stage = setting.removeprefix(_UNDECIDED)
    name = f"{stage}/{UNDECIDED}"
    checks = checks.where(~checks.is_named(name))
    of_stage_C = checks.stage_rank((stage,)) == 0
    open_C = of_stage_C & find_undecided(checks, rows)
    row_N = np.unique(checks.row_C[of_stage_C])
    count_R = np.bincount(checks.row_C[open_C], minlength=rows)
    names, settings = (*checks.names, name), (*checks.settings, setting)
    return CheckColumns(
        names=names,
        settings=settings,
        row_C=np.append(checks.row_C, row_N),
        name_C=np.append(checks.name_C, np.full(len(row_N), len(names) - 1)),
        setting_C=np.append(checks.setting_C, np.full(len(row_N), len(settings) - 1)),
        score_C=np.append(checks.score_C, count_R[row_N].astype(float)),
        threshold_C=np.append(checks.threshold_C, np.full(len(row_N), np.inf)),
        at_most_C=np.append(checks.at_most_C, np.ones(len(row_N), bool)),
    )


def _add(counts: dict[str, int], name: str, frames: int) -> None:
    if frames:
        counts[name] = counts.get(name, 0) + frames


def _is_measured_past_rejection(
    rows: pa.RecordBatch, checks: CheckColumns, fails_C: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return whether each row passes up to the stage that rejected it and was still measured by later stages."""
    row_C = checks.row_C
    stages = order_stages(checks.stages)
    stage_R = pc.index_in(rows.column("stage"), pa.array(stages)).fill_null(-1).to_numpy(zero_copy_only=False)
    later_C = checks.stage_rank(stages) > stage_R[row_C]
    stopped_R, later_R = np.zeros(rows.num_rows, bool), np.zeros(rows.num_rows, bool)
    stopped_R[row_C[fails_C & ~later_C]] = True
    later_R[row_C[later_C]] = True
    return later_R & ~stopped_R


def _is_last_stage_of_picture(rows: pa.RecordBatch, checks: CheckColumns) -> npt.NDArray[np.bool_]:
    """Return whether each row is a picture that the stage quality rejected: it has measured all that it measures."""
    picture_R = np.zeros(rows.num_rows, bool)
    picture_R[checks.row_C[checks.stage_rank((PICTURE_STAGES[0],)) == 0]] = True
    matches = pc.equal(rows.column("stage"), PICTURE_STAGES[-1]).fill_null(False)
    last_R: npt.NDArray[np.bool_] = matches.to_numpy(zero_copy_only=False)
    return picture_R & last_R


def _is_rejected_by(rows: pa.RecordBatch, check: str) -> npt.NDArray[np.bool_]:
    """Return whether each row was rejected by `check`, a name "stage/reason"."""
    stage, _, reason = check.partition("/")
    matches = pc.and_(pc.equal(rows.column("stage"), stage), pc.equal(rows.column("reason"), reason))
    matches_R: npt.NDArray[np.bool_] = matches.fill_null(False).to_numpy(zero_copy_only=False)
    return matches_R
