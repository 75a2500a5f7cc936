"""How far a run is, going or stopped. Reads only what is committed and the log."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.runs.coordinator import active_coordinator
from avf_curation.runs.curate import Progress, progress_of, read_plan


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """state: "finished", "going" or "stopped"; `driver` says who works on it."""

    state: str
    generation: int
    progress: Progress
    driver: str | None
    last_unit_s_ago: float | None

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"progress": vars(self.progress)}


def run_status(run: RunFolder) -> RunStatus:
    """The newest generation's status. Raises UserError when nothing is planned."""
    generations = run.generations()
    if not generations:
        raise UserError(f"{run.root}: nothing is planned yet")
    newest = generations[-1]
    planned = read_plan(run, newest)
    progress = progress_of(run, planned, run.finished_units(newest))
    if (run.generation_folder(newest) / "ledger").is_dir():
        return RunStatus(
            state="finished", generation=newest, progress=progress, driver=None, last_unit_s_ago=_last_unit(run)
        )
    driver = active_coordinator(run)
    state = "going" if driver else "stopped"
    return RunStatus(
        state=state,
        generation=newest,
        progress=progress,
        driver=str(driver) if driver else None,
        last_unit_s_ago=_last_unit(run),
    )


def watch_status(run: RunFolder, every_s: float) -> Iterator[RunStatus]:
    """The status now, and again every so many seconds for as long as somebody works on the run."""
    now = run_status(run)
    yield now
    while now.state == "going":
        time.sleep(every_s)
        now = run_status(run)
        yield now


def _last_unit(run: RunFolder) -> float | None:
    try:
        return round(time.time() - (run.log_folder / "units.jsonl").stat().st_mtime, 1)
    except OSError:
        return None
