"""Thresholds of one source by the share of its spans that should pass, each with a confidence interval.

Spans of one group (a recording, a session) resemble each other, so groups are counted as the independent observations:
the interval of a quantile is that of order statistics of as many draws as there are groups (binomial quantiles, H. A.
David, Order Statistics, 1981). Every threshold is proposed alone; all of them together keep fewer spans.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.schema.check_columns import CheckColumns
from avf_shards.schema.estimate import Estimate

from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.scores import select_reached_checks
from avf_curation.stages.checks import decides_spans


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposed threshold of one setting."""

    setting: str  # of the recipe, as "sync.min_confidence"
    check: str  # "stage/reason"
    spans: int  # that have a score
    not_measured: int  # spans that the check has no score for; no threshold changes their verdict
    groups: int  # of these spans
    now: float  # threshold in use
    passes: Estimate  # share that passes the threshold in use
    proposed: float  # threshold that the requested share passes, rounded to the side where more spans pass
    passes_proposed: float  # share of the spans that passes the proposed threshold
    #: False where so many spans have the same score that no threshold passes a share near the requested one
    usable: bool
    low: float  # lower end of the 95 % interval of `proposed`
    high: float  # upper end of that interval


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Proposed thresholds of one source."""

    source: str  # name of the source
    keep: float  # requested share of spans that pass
    proposals: tuple[Proposal, ...]  # in the order of the requested checks, or of the checks in the ledger

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return asdict(self)


def propose_thresholds(table: pa.Table, source: str, keep: float, checks: list[str] | None = None) -> Calibration:
    """Propose thresholds of `source` that a share `keep` of its spans passes.

    Args:
        checks: "stage/reason" names; by default all checks that have a setting and whose scores differ.

    Raises:
        UserError: `keep` does not lie between 0 and 1, or the run has no such source, check or score.
    """
    if not 0 < keep < 1:
        raise UserError(f"--keep {keep:g}: must lie between 0 and 1, as in --keep 0.8")
    known = sorted(set(table["source"].unique().to_pylist()))
    if source not in known:
        raise UserError(f"--source {source}: the run has no such source; it has {', '.join(known) or 'none'}")
    rows = table.filter(pc.equal(table["source"], source))
    scores = select_reached_checks(rows)
    settings = _settings_of_checks(scores)
    for check in checks or ():
        if check not in settings:
            raise UserError(
                f"--check {check}: this source has no threshold of this name; its checks are "
                f"{', '.join(sorted(settings))}"
            )
    groups = rows["group_id"].to_numpy()
    proposals = []
    for check in checks or settings:
        measured = scores.where(scores.is_named(check) & ~np.isnan(scores.score_C))
        if checks is None and (not len(measured.score_C) or np.ptp(measured.score_C) == 0):
            continue  # without a score, or with equal scores, any threshold keeps all spans or none
        if not len(measured.score_C):
            raise UserError(f"--check {check}: no span of {source} has a score for it")
        count = len(set(groups[measured.row_C]))
        at_most = bool(measured.at_most_C[0])
        sign = 1.0 if at_most else -1.0  # with this sign a larger score is always worse
        ordered = np.sort(sign * measured.score_C)
        shares = [binomial_quantile(p, count, keep) / count for p in (0.025, 0.975)]
        low, quantile, high = (sign * float(np.quantile(ordered, q)) for q in (shares[0], keep, shares[1]))
        proposed = _round_to_pass(quantile, at_most=at_most)
        passes_proposed = float((ordered <= sign * proposed).mean())
        passes = wilson_interval((~measured.fails()).mean() * count, count)
        now = float(measured.threshold_C[0])
        low, high = sorted((low, high))
        proposals.append(
            Proposal(
                setting=settings[check],
                check=check,
                spans=len(ordered),
                not_measured=int((scores.is_named(check) & np.isnan(scores.score_C)).sum()),
                groups=count,
                now=now,
                passes=passes,
                proposed=proposed,
                passes_proposed=passes_proposed,
                # As near to the requested share as a sample of this many groups can tell. In a small one that would
                # include a score that nearly all spans share (a maximum of 0), where the threshold rejects next to
                # nothing of these spans and whatever differs in others; so half of the rejections must stay.
                usable=shares[0] - 1 / len(ordered)
                <= passes_proposed
                <= min(shares[1] + 1 / len(ordered), (1 + keep) / 2),
                low=low,
                high=high,
            )
        )
    return Calibration(source=source, keep=keep, proposals=tuple(proposals))


def binomial_quantile(probability: float, draws: int, share: float) -> int:
    """Return the least number of successes that so many draws exceed with at most 1 - `probability`."""
    from scipy.special import bdtr  # scipy.stats has this too and takes half a second to import

    return int(np.searchsorted(bdtr(np.arange(draws + 1), draws, share), probability))


def _round_to_pass(threshold: float, *, at_most: bool) -> float:
    """Return the threshold with four significant digits, rounded up if scores must be at most the threshold, else down.

    Rounding to the nearest could pass the scores by: 0.99997 as 1 would reject every span of a score below 1.
    """
    if threshold == 0 or not np.isfinite(threshold):
        return threshold
    step = 10.0 ** (np.floor(np.log10(abs(threshold))) - 3)
    rounded = (np.ceil if at_most else np.floor)(threshold / step) * step
    return float(f"{rounded:.10g}")


def _settings_of_checks(scores: CheckColumns) -> dict[str, str]:
    """Return check -> setting that holds its threshold, without the settings that decide which spans exist."""
    pairs = scores.settings_of_names()
    # A gate's verdict on undecided spans is no threshold.
    return {name: setting for name, setting in pairs if not decides_spans(setting) and not setting.startswith("gates.")}
