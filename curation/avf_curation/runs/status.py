"""The status of a run: how far it is, and whether a coordinator is at work. Only committed files and logs are read."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.text import describe_unreadable, shell_word

from avf_curation.runs.coordinator import active_coordinator
from avf_curation.runs.frozen_plan import RunPlan, read_plan
from avf_curation.runs.progress import Progress, ProgressReader
from avf_curation.runs.unit_log import last_unit_age_s


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The status of a run's newest attempt."""

    state: str  # finished, going or stopped
    attempt: int  # number of the newest plan
    progress: Progress  # counts of this attempt
    coordinator: str | None  # the process that works on the run, where it is going
    unreadable: int  # folders that could not be read when the run was planned; the plan lacks their videos
    last_unit_s_ago: float | None  # seconds since the last commit; None where no unit was committed

    @property
    def unreadable_sentence(self) -> str:
        """Return how many folders or files could not be read, in words; the empty text where there are none."""
        return describe_unreadable(self.unreadable)

    def as_json(self) -> dict[str, Any]:
        """Return the values that `status --json` prints."""
        return asdict(self)


class StatusReader:
    """Reads the status of a run again and again. Plan and committed units are read once."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.plan: RunPlan | None = None  # of the newest attempt; None before the first read
        self._progress: ProgressReader | None = None
        self._unreadable = 0

    def read(self) -> RunStatus:
        """Return the status of the newest attempt.

        Raises UserError when nothing is planned, and for a run of another schema version.
        """
        run = self.run
        run.identity()  # checks the version, also of a run that has no plan yet
        attempts = run.attempts()
        if not attempts:
            raise UserError(
                f"{run.root}: nothing is planned yet; start it with avf-curate run --out {shell_word(run.root)}"
            )
        newest = attempts[-1]
        if self.plan is None or self._progress is None or self.plan.attempt != newest:
            self.plan = read_plan(run, newest)
            self._progress = ProgressReader(run, self.plan)
            self._unreadable = run.count_unreadable()
        finished = (run.attempt_folder(newest) / "ledger").is_dir()
        coordinator = None if finished else active_coordinator(run)
        progress = self._progress.read()
        if not coordinator:  # killed workers leave the files of their units; nobody is at them
            progress = progress.with_active(())
        return RunStatus(
            state="finished" if finished else "going" if coordinator else "stopped",
            attempt=newest,
            progress=progress,
            coordinator=str(coordinator) if coordinator else None,
            unreadable=self._unreadable,
            last_unit_s_ago=last_unit_age_s(run),
        )


def run_status(run: RunFolder) -> RunStatus:
    """Return the status of the newest attempt. Raises as `StatusReader.read`."""
    return StatusReader(run).read()


def watch_status(run: RunFolder, every_s: float) -> Iterator[RunStatus]:
    """Yield the status now and every `every_s` seconds, until no coordinator works on the run any more."""
    reader = StatusReader(run)
    status = reader.read()
    yield status
    while status.state == "going":
        time.sleep(every_s)
        status = reader.read()
        yield status
