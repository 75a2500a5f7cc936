"""Events of a run as JSON lines in its log folder, for people and log collectors. No result depends on them."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from avf_shards.schema.versions import stamp
from avf_shards.system.storage_faults import name_path, open_plain
from avf_shards.text import load_json

log = logging.getLogger(__name__)
FILE = "events.jsonl"
# Events that need an operator's eyes are logged as warnings, milestones as information, the rest for debugging.
_WARNINGS = (
    "worker_died",
    "node_lost",
    "unit_isolated",
    "unit_put_back",
    "unit_overdue",
    "waiting_for_cluster",
    "disk_almost_full",
)
_MILESTONES = ("run_started", "run_stopped", "run_finished")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run. Fields that do not apply to an event are None and are not written."""

    #: run_started, unit_started, unit_done, worker_died, node_lost, unit_isolated, unit_put_back, unit_overdue,
    #: disk_almost_full, waiting_for_cluster, run_stopped or run_finished
    name: str
    unit: int | None = None  # number of the unit in the plan
    pool: str | None = None  # the pool of workers that it happened in
    node: str | None = None  # Ray's id of the machine
    deaths: int | None = None  # workers that have died with this unit so far
    message: str | None = None  # details for the operator


class EventLog:
    """Appends events to RUN/log/events.jsonl and logs them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        # Line-buffered, so that a killed process loses no event.
        self._file: TextIO = open(self._path, "a", encoding="utf-8", buffering=1, opener=open_plain)  # noqa: SIM115  closed in close()

    def __call__(self, event: Event) -> None:
        """Append one event."""
        values = {name: value for name, value in asdict(event).items() if value is not None}
        with name_path(self._path):
            self._file.write(json.dumps(stamp({"time": round(time.time(), 3)} | values, "event")) + "\n")
        level = logging.DEBUG
        if event.name in _WARNINGS:
            level = logging.WARNING
        elif event.name in _MILESTONES:
            level = logging.INFO
        if log.isEnabledFor(level):
            details = [f"{name} {values[name]}" for name in ("unit", "pool", "deaths") if name in values]
            details += [str(values["message"])] if "message" in values else []
            log.log(level, "%s%s", event.name.replace("_", " "), ": " + ", ".join(details) if details else "")

    def close(self) -> None:
        """Close the file. Raises OSError, which names it, where an event waits that the disk has no room for."""
        with name_path(self._path):
            self._file.close()


def read_events(folder: Path) -> list[dict[str, object]]:
    """Return the events of a run so far. A line that a killed process left incomplete is skipped."""
    events = []
    try:
        with open(folder / FILE, encoding="utf-8", opener=open_plain) as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            events.append(dict(load_json(line)))
        except ValueError:
            continue
    return events
