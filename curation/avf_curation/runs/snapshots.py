"""Snapshots of a run's ledger: RUN@2026-11-20 or RUN@2026-11-20T14:30 (UTC) is the ledger as it was at that time.

The log of units says when each decision was made.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.runs.unit_log import read_unit_log


def load_ledgers(before: str, after: str) -> tuple[pa.Table, pa.Table]:
    """Load the two ledgers to compare.

    If both names are dates of one run, the first ledger has the decisions up to the first date, and the second those
    made between the two dates. Raises UserError.
    """
    (run_before, until_before), (run_after, until_after) = _parse_snapshot(before), _parse_snapshot(after)
    ledger_before = _select_ledger(run_before, until_before)
    if run_before.root.resolve() != run_after.root.resolve():
        return ledger_before, _select_ledger(run_after, until_after)
    if until_before is None:
        raise UserError(f"{before} and {after}: the same run; name two dates of it, as in {run_before.root}@2026-11-20")
    return ledger_before, _select_ledger(run_after, until_after, after=until_before)


def load_backends(before: str, after: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the backends (stage -> name) of the runs of two ledgers. Raises UserError."""
    first, second = (_parse_snapshot(name)[0].identity().backends for name in (before, after))
    return dict(first), dict(second)


def _parse_snapshot(text: str) -> tuple[RunFolder, datetime | None]:
    """Return the run and the end of its snapshot, None for the whole ledger. Raises UserError."""
    folder, separator, date = text.rpartition("@")
    if not separator or Path(text).exists():  # a folder's name may hold an @
        return RunFolder.open_existing(Path(text)), None
    try:
        end = datetime.fromisoformat(date)
    except ValueError:
        raise UserError(f"{text}: {date!r} is not a date such as 2026-11-20 or 2026-11-20T14:30") from None
    if len(date) == len("2026-11-20"):
        end += timedelta(days=1)  # a date without a time includes the whole day
    return RunFolder.open_existing(Path(folder)), end.replace(tzinfo=end.tzinfo or UTC)


def _select_ledger(run: RunFolder, until: datetime | None, after: datetime | None = None) -> pa.Table:
    """Return the rows that were decided from `after` on and before `until`. Raises UserError when there are none."""
    ledger = run.ledger()
    if until is None and after is None:
        return ledger
    times = _commit_times(run)
    units = zip(ledger["attempt"].to_pylist(), ledger["unit"].to_pylist(), strict=True)
    # A unit that the log misses, because its process was killed, counts as decided before all others.
    time_R = np.array([times.get(unit, 0.0) for unit in units])
    selected_R = np.ones(len(time_R), bool)
    if until is not None:
        selected_R &= time_R < until.timestamp()
    if after is not None:
        selected_R &= time_R >= after.timestamp()
    if not selected_R.any():
        raise UserError(
            f"{run.root}: nothing was decided {'before' if after is None else 'between'} "
            f"{' and '.join(str(time) for time in (after, until) if time is not None)}; name another date"
        )
    return ledger.filter(pa.array(selected_R))


def _commit_times(run: RunFolder) -> dict[tuple[int, int], float]:
    """Return (attempt, unit) -> Unix time of its commit. Raises UserError where the log is gone."""
    times: dict[tuple[int, int], float] = {}
    for entry in read_unit_log(run):
        times.setdefault((entry.attempt, entry.report.unit), entry.time)
    if not times:
        raise UserError(f"{run.root}: log/units.jsonl is missing or empty, so it is not known when units were decided")
    return times
