"""Thresholds for one source by the share of its spans that should pass, each with the interval its sample allows.

Spans of one group (a film, a session) resemble each other, so the interval counts groups, not spans: it is that of
an order statistic of as many independent draws as there are groups. Every threshold stands alone: together they keep
less.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.estimate import Estimate
from avf_shards.schema.check_columns import CheckColumns
from scipy.stats import binom

from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.scores import reached_checks
from avf_curation.stages.checks import SPAN_STAGES


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A threshold for one setting. spans, groups: that have a score; now, passes: the threshold in use and the share
    that passes it; proposed, low, high: the threshold that the share asked for passes, and its 95 % interval."""

    setting: str
    check: str
    spans: int
    groups: int
    now: float
    passes: Estimate
    proposed: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Proposals for one source."""

    source: str
    keep: float
    proposals: tuple[Proposal, ...]

    def as_json(self) -> dict[str, Any]:
        """The shape that --json prints."""
        return asdict(self)


def propose_thresholds(table: pa.Table, source: str, keep: float, checks: list[str] | None = None) -> Calibration:
    """Propose thresholds of `source` that a share `keep` of its spans passes. Raises UserError.

    checks: "stage/reason" names to look at (default: all that a setting decides and that can tell spans apart).
    """
    if not 0 < keep < 1:
        raise UserError(f"--keep {keep:g}: a share between 0 and 1, as 0.8")
    known = sorted(set(table["source"].unique().to_pylist()))
    if source not in known:
        raise UserError(f"--source {source}: the run has no such source; it has {', '.join(known) or 'none'}")
    mine = table.filter(pc.equal(table["source"], source))
    scores = reached_checks(mine)
    settings = _settings(scores)
    for check in checks or ():
        if check not in settings:
            raise UserError(
                f"--check {check}: no threshold of this source decides that; checks are {', '.join(sorted(settings))}"
            )
    groups = mine["group_id"].to_numpy()
    found = []
    for check in checks or settings:
        here = scores.where(scores.is_named(check) & ~np.isnan(scores.score_C))
        if checks is None and (not len(here.score_C) or np.ptp(here.score_C) == 0):
            continue  # none, or all alike: any threshold keeps all or none
        if not len(here.score_C):
            raise UserError(f"--check {check}: no span of {source} has a score for it")
        count = len(set(groups[here.row_C]))
        at_most = bool(here.at_most_C[0])
        sign = 1.0 if at_most else -1.0  # as if larger were worse
        ordered = np.sort(sign * here.score_C)
        shares = [float(binom.ppf(p, count, keep)) / count for p in (0.025, 0.975)]
        low, proposed, high = (sign * float(np.quantile(ordered, q)) for q in (shares[0], keep, shares[1]))
        passes = wilson_interval((~here.fails()).mean() * count, count)
        now = float(here.threshold_C[0])
        low, high = sorted((low, high))
        found.append(
            Proposal(
                setting=settings[check],
                check=check,
                spans=len(ordered),
                groups=count,
                now=now,
                passes=passes,
                proposed=proposed,
                low=low,
                high=high,
            )
        )
    return Calibration(source=source, keep=keep, proposals=tuple(found))


def _settings(scores: CheckColumns) -> dict[str, str]:
    """Return the setting that holds the threshold of each check, without settings that decide which spans there are."""
    pairs = scores.settings_of_names()
    return {name: setting for name, setting in pairs if setting.partition(".")[0] not in SPAN_STAGES}
