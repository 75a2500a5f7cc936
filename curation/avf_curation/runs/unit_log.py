"""The log of finished units, RUN/log/units.jsonl: when each was committed, and what a worker reported of it.

The log is no part of the result. A unit whose commit was interrupted may be in it twice or not at all, and the last
line of a killed process may be torn.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.versions import refuse_newer_version, stamp
from avf_shards.system.named_writes import append_text
from avf_shards.system.storage_faults import open_plain
from avf_shards.text import count_noun, load_json

from avf_curation.pipeline.unit_job import UnitReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UnitLogEntry:
    """One line of the log."""

    time: float  # Unix time of the commit, in seconds
    attempt: int  # number of the plan that the unit belongs to
    report: UnitReport  # counts and costs of the unit

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the entry of a line.

        Raises UserError for a newer version; ValueError, KeyError or TypeError for a torn line.
        """
        values = load_json(line)
        refuse_newer_version(values, "unit log entry", "log/units.jsonl")
        known = {field.name for field in fields(UnitReport)}  # a later version may add fields
        report = UnitReport(**{name: value for name, value in values.items() if name in known})
        return cls(time=float(values["time"]), attempt=int(values["attempt"]), report=report)

    def to_json(self) -> str:
        """Return the entry as a line: time, attempt and the report's fields in one object."""
        return json.dumps(stamp({"time": self.time, "attempt": self.attempt} | asdict(self.report), "unit log entry"))


def append_unit(run: RunFolder, report: UnitReport, attempt: int) -> None:
    """Add a unit that is committed now."""
    log.info(
        "unit %d: %s, %s kept, %d rejected, %d failed, %.1f CPU seconds",
        report.unit,
        count_noun(report.videos, "video"),
        count_noun(report.kept, "span"),
        report.rejected,
        report.failed,
        report.cpu_seconds,
    )
    entry = UnitLogEntry(time=round(time.time(), 3), attempt=attempt, report=report)
    with append_text(_path(run)) as file:
        file.write(entry.to_json() + "\n")


class UnitLogReader:
    """Reads the log as it grows; each line is read once."""

    def __init__(self, run: RunFolder) -> None:
        self._path = _path(run)
        self._offset = 0  # bytes that are read

    def read(self) -> list[UnitLogEntry]:
        """Return the readable entries since the last call, in the order of writing; nothing where the log is gone."""
        try:
            with open(self._path, "rb", opener=open_plain) as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        lines = data[: data.rfind(b"\n") + 1]  # the last line may be half-written
        self._offset += len(lines)
        entries = []
        for line in lines.decode("utf-8", "replace").splitlines():
            try:
                entries.append(UnitLogEntry.from_json(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return entries


def read_unit_log(run: RunFolder) -> list[UnitLogEntry]:
    """Return every readable entry in the order of writing; nothing where the log is gone."""
    return UnitLogReader(run).read()


def lost_units(run: RunFolder) -> list[str]:
    """Return a sentence for each unit that the log says is committed, and that has no folder."""
    logged = {(entry.attempt, entry.report.unit) for entry in read_unit_log(run) if entry.report.is_committed}
    finished = {attempt: run.finished_units(attempt) for attempt in run.attempts()}
    return [
        f"{run.unit_folder(attempt, unit)}: missing; log/units.jsonl says that it was committed"
        for attempt, unit in sorted(logged)
        if unit not in finished.get(attempt, ())
    ]


def last_unit_age_s(run: RunFolder) -> float | None:
    """Return how many seconds ago the log was last written to, or None where it is gone."""
    try:
        return round(time.time() - _path(run).stat().st_mtime, 1)
    except OSError:
        return None


def _path(run: RunFolder) -> Path:
    return run.log_folder / "units.jsonl"
