"""A run's ledger as it was on a date: RUN@2026-11-20, or RUN@2026-11-20T14:30 (UTC); by the log of its units."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.runs.unit_log import read_unit_log


def load_ledgers(before: str, after: str) -> tuple[pa.Table, pa.Table]:
    """The ledgers that two names mean. Two dates of one run: up to the first, and from the first to the second, so
    that what happened between is compared with what was before. Raises UserError."""
    old, new = _parsed(before), _parsed(after)
    first = _ledger(*old)
    if old[0].root.resolve() != new[0].root.resolve():
        return first, _ledger(*new)
    if old[1] is None:
        raise UserError(f"{before} and {after}: the same run; name two dates of it, as in {old[0].root}@2026-11-20")
    return first, _ledger(*new, after=old[1])


def _parsed(text: str) -> tuple[RunFolder, datetime | None]:
    folder, at, date = text.rpartition("@")
    if not at or Path(text).exists():
        return RunFolder.existing(Path(text)), None
    try:
        when = datetime.fromisoformat(date)
    except ValueError:
        raise UserError(f"{text}: {date!r} is no date as 2026-11-20 or 2026-11-20T14:30") from None
    if len(date) == len("2026-11-20"):
        when += timedelta(days=1)  # the whole day
    return RunFolder.existing(Path(folder)), when.replace(tzinfo=when.tzinfo or UTC)


def _ledger(run: RunFolder, until: datetime | None, after: datetime | None = None) -> pa.Table:
    table = run.ledger()
    if until is None and after is None:
        return table
    times = _commit_times(run)
    places = zip(table["attempt"].to_pylist(), table["unit"].to_pylist(), strict=True)
    time_R = np.array([times.get(place, 0.0) for place in places])
    chosen_R = np.ones(len(time_R), bool)
    if until is not None:
        chosen_R &= time_R < until.timestamp()
    if after is not None:
        chosen_R &= time_R >= after.timestamp()
    if not chosen_R.any():
        raise UserError(f"{run.root}: nothing was decided in that time")
    return table.filter(pa.array(chosen_R))


def _commit_times(run: RunFolder) -> dict[tuple[int, int], float]:
    """Return (attempt, unit) -> Unix time of its commit. Raises UserError where the log is gone."""
    times: dict[tuple[int, int], float] = {}
    for entry in read_unit_log(run):
        times.setdefault((entry.attempt, entry.report.unit), entry.time)
    if not times:
        raise UserError(f"{run.root}: log/units.jsonl is missing or empty, so it is not known when units were decided")
    return times
