"""How far a run is, going or stopped. Reads only what is committed and the log."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.runs.coordinator import active_coordinator
from avf_curation.runs.frozen_plan import read_plan
from avf_curation.runs.progress import Progress, read_progress
from avf_curation.runs.unit_log import last_unit_age_s


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """state: "finished", "going" or "stopped"; `coordinator` says who works on it."""

    state: str
    attempt: int
    progress: Progress
    coordinator: str | None
    last_unit_s_ago: float | None

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"progress": vars(self.progress)}


def run_status(run: RunFolder) -> RunStatus:
    """The newest attempt's status. Raises UserError when nothing is planned."""
    attempts = run.attempts()
    if not attempts:
        raise UserError(f"{run.root}: nothing is planned yet")
    newest = attempts[-1]
    planned = read_plan(run, newest)
    progress = read_progress(run, planned, run.finished_units(newest))
    if (run.attempt_folder(newest) / "ledger").is_dir():
        return RunStatus(
            state="finished", attempt=newest, progress=progress, coordinator=None, last_unit_s_ago=last_unit_age_s(run)
        )
    coordinator = active_coordinator(run)
    state = "going" if coordinator else "stopped"
    return RunStatus(
        state=state,
        attempt=newest,
        progress=progress,
        coordinator=str(coordinator) if coordinator else None,
        last_unit_s_ago=last_unit_age_s(run),
    )


def watch_status(run: RunFolder, every_s: float) -> Iterator[RunStatus]:
    """The status now, and again every so many seconds for as long as somebody works on the run."""
    now = run_status(run)
    yield now
    while now.state == "going":
        time.sleep(every_s)
        now = run_status(run)
        yield now
