"""What a run that is at work has decided so far, for a page that refreshes: each committed unit is read once."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc
from avf_shards.errors import FaultError
from avf_shards.format.run_folder import LEDGER, RunFolder
from avf_shards.schema.ledger import read_ledger
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.runs.frozen_plan import RunPlan
from avf_curation.runs.status import RunStatus, StatusReader
from avf_curation.runs.unit_log import UnitLogEntry, UnitLogReader

SHOWN_FAILURES = 50
SHOWN_SLOW_VIDEOS = 10
_RECENT_UNITS = 100  # whose rate the estimate of the remaining time takes
_READ_S = 1.0  # seconds of reading at most for one answer: a page of 10,000 units fills itself in a few refreshes
_COLUMNS = ["source", "video_id", "start_frame", "stop_frame", "status", "stage", "reason", "error", "message"]


@dataclass(frozen=True, kw_only=True)
class LiveFailure:
    """A span that an error stopped."""

    source: str
    video_id: str
    stage: str  # at which the error came
    error: str  # kind
    message: str  # for people


@dataclass(kw_only=True)
class LiveSource:
    """The decisions on one source so far."""

    videos: int  # planned
    videos_done: int = 0  # in committed units that are counted
    kept_s: float = 0.0  # seconds of kept spans
    #: (status, stage, reason or error) of rejected and failed spans -> [spans, seconds]
    endings: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    @property
    def input_s(self) -> float:
        """Seconds of all spans."""
        return self.kept_s + sum(seconds for _, seconds in self.endings.values())

    def ending_rows(self) -> list[tuple[str, str, str, int, float]]:
        """Return (status, stage, reason, spans, seconds), most seconds first."""
        rows = [(*ending, int(spans), seconds) for ending, (spans, seconds) in self.endings.items()]
        return sorted(rows, key=lambda row: (-row[4], row[:3]))


@dataclass(frozen=True, kw_only=True)
class LiveSummary:
    """What the page shows."""

    status: RunStatus
    sources: dict[str, LiveSource]  # by name
    units_counted: int  # committed units whose decisions are in `sources`
    stage_seconds: dict[str, float]  # stage -> wall-clock seconds of all workers, longest first
    slow_videos: tuple[tuple[str, float], ...]  # ("source/video", wall-clock seconds), slowest first
    failures: tuple[LiveFailure, ...]  # newest first
    remaining_s: float | None  # estimate; None where the run is not going, or too little is done to tell


class LiveReader:
    """Reads what is new in a run at each call of `summary`."""

    def __init__(self, run: RunFolder) -> None:
        """Read nothing yet.

        Args:
            run: a run that has a plan. Its newest attempt is shown.
        """
        self._run = run
        self._status = StatusReader(run)
        self._start_attempt(None)

    def summary(self) -> LiveSummary:
        """Return the state of now. Raises UserError where nothing is planned."""
        status = self._status.read()
        if self._attempt != status.attempt:
            self._start_attempt(self._status.plan)
        self._count_units()
        for entry in self._log.read():
            if entry.attempt == status.attempt:
                self._count_costs(entry)
        return LiveSummary(
            status=status,
            sources=self._sources,
            units_counted=len(self._counted),
            stage_seconds=dict(sorted(self._stage_seconds.items(), key=lambda item: -item[1])),
            slow_videos=tuple(self._slow_videos),
            failures=tuple(reversed(self._failures)),
            remaining_s=_remaining_s(status, self._recent),
        )

    def _start_attempt(self, plan: RunPlan | None) -> None:
        """Count from nothing: the decisions of one attempt."""
        self._attempt = -1 if plan is None else plan.attempt
        self._counted: set[int] = set()
        self._sources: dict[str, LiveSource] = {}
        self._failures: deque[LiveFailure] = deque(maxlen=SHOWN_FAILURES)
        self._log = UnitLogReader(self._run)
        self._stage_seconds: dict[str, float] = {}
        self._slow_videos: list[tuple[str, float]] = []
        self._recent: deque[UnitLogEntry] = deque(maxlen=_RECENT_UNITS)
        if plan is not None:
            rows = plan.table.group_by("source").aggregate([("video_id", "count")]).to_pylist()
            for row in sorted(rows, key=lambda row: str(row["source"])):
                self._sources[row["source"]] = LiveSource(videos=row["video_id_count"])

    def _count_units(self) -> None:
        """Add the committed units that are not counted yet, as many as the time allows, and one at least."""
        deadline_s = time.monotonic() + _READ_S
        for unit in sorted(self._run.finished_units(self._attempt) - self._counted):
            try:
                table = read_ledger(self._run.unit_folder(self._attempt, unit) / LEDGER)
            except (OSError, FaultError):
                continue  # removed meanwhile by `gc`, or damaged, which `audit` and `verify` report
            self._counted.add(unit)
            for row in table.select(_COLUMNS).to_pylist():
                self._count_decision(row)
            for name in self._sources:
                videos = pc.unique(table.filter(pc.equal(table["source"], name))["video_id"])
                self._sources[name].videos_done += len(videos)
            if time.monotonic() > deadline_s:
                return

    def _count_decision(self, row: dict[str, str | int | None]) -> None:
        source = self._sources[str(row["source"])]
        seconds = (int(row["stop_frame"] or 0) - int(row["start_frame"] or 0)) / FRAMES_PER_SECOND
        if row["status"] == "kept":
            source.kept_s += seconds
            return
        key = (str(row["status"]), str(row["stage"]), str(row["reason"] or row["error"]))
        ending = source.endings.setdefault(key, [0, 0.0])
        ending[0] += 1
        ending[1] += seconds
        if row["status"] == "failed":
            self._failures.append(
                LiveFailure(
                    source=str(row["source"]),
                    video_id=str(row["video_id"]),
                    stage=key[1],
                    error=key[2],
                    message=str(row["message"] or ""),
                )
            )

    def _count_costs(self, entry: UnitLogEntry) -> None:
        for stage, seconds in entry.report.stage_seconds.items():
            self._stage_seconds[stage] = self._stage_seconds.get(stage, 0.0) + seconds
        videos = [*self._slow_videos, *entry.report.video_seconds.items()]
        self._slow_videos = sorted(videos, key=lambda item: -item[1])[:SHOWN_SLOW_VIDEOS]
        self._recent.append(entry)


def _remaining_s(status: RunStatus, recent: Sequence[UnitLogEntry]) -> float | None:
    """Return the seconds that the open videos take at the rate of recent units, in the order of their commits."""
    if status.state != "going" or len(recent) < 3 or recent[-1].time <= recent[0].time:
        return None
    rate = sum(entry.report.videos for entry in list(recent)[1:]) / (recent[-1].time - recent[0].time)
    progress = status.progress
    open_videos = progress.videos - progress.videos_done - progress.videos_in_units
    return open_videos / rate if rate > 0 else None
