"""Events of a run as JSON lines in the log folder: for people and log collectors, never part of a result."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

_LOG = logging.getLogger("avf_curation")
FILE = "events.jsonl"
_WARNINGS = ("worker_died", "node_lost", "unit_alone", "unit_overdue", "waiting_for_cluster", "disk_almost_full")


@dataclass(frozen=True, kw_only=True)
class Event:
    """name: run_started, unit_started, unit_done, worker_died, node_lost, unit_alone, unit_overdue, disk_almost_full,
    waiting_for_cluster, run_stopped, run_finished. What does not apply is None and left out."""

    name: str
    unit: int | None = None
    pool: str | None = None
    node: str | None = None
    deaths: int | None = None
    message: str | None = None


class EventLog:
    """Appends events to RUN/log/events.jsonl; what an operator should know goes to the console as well."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = open(folder / FILE, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  closed in close()

    def __call__(self, event: Event) -> None:
        told = {name: value for name, value in asdict(event).items() if value is not None}
        self._file.write(json.dumps({"time": round(time.time(), 3)} | told) + "\n")
        if event.name in _WARNINGS:
            words = [f"{name} {told[name]}" for name in ("unit", "pool", "deaths", "message") if name in told]
            _LOG.warning("%s: %s", event.name.replace("_", " "), ", ".join(words))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(folder: Path) -> list[dict[str, object]]:
    """The events of a run so far; a line that a death cut off is left out."""
    found = []
    try:
        lines = (folder / FILE).read_text("utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(dict(json.loads(line)))
        except ValueError:
            continue
    return found
