"""What a run that is at work has decided so far, for a page that refreshes: each committed unit is read once."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import FaultError
from avf_shards.format.run_folder import LEDGER, RunFolder
from avf_shards.schema.ledger import SCHEMA, read_ledger
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.runs.frozen_plan import RunPlan, read_plan
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
    """The decisions on one source so far, those of earlier attempts too where no later one replaces them."""

    videos: int  # planned
    videos_done: int = 0  # in committed units that are counted
    kept_spans: int = 0
    kept_s: float = 0.0  # seconds of kept spans
    #: (status, stage, reason or error) of rejected and failed spans -> [spans, seconds]
    endings: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    @property
    def input_s(self) -> float:
        """Seconds of all spans."""
        return self.kept_s + sum(seconds for _, seconds in self.endings.values())

    def spans(self, status: str) -> int:
        """Return the number of spans of a status."""
        if status == "kept":
            return self.kept_spans
        return sum(int(spans) for (ending, _, _), (spans, _) in self.endings.items() if ending == status)

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

    @property
    def totals(self) -> dict[str, int]:
        """Spans of the whole run by status, "kept", "rejected" and "failed"."""
        return {
            status: sum(source.spans(status) for source in self.sources.values())
            for status in ("kept", "rejected", "failed")
        }

    @property
    def decided_s(self) -> float:
        """Seconds of all spans."""
        return sum(source.input_s for source in self.sources.values())


class LiveReader:
    """Reads what is new in a run at each call of `summary`."""

    def __init__(self, run: RunFolder) -> None:
        """Read nothing yet.

        Args:
            run: a run that has a plan. The progress is that of its newest attempt.
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
        """Count the decisions of earlier attempts; those on the videos of this plan only until it decides them."""
        self._attempt = -1 if plan is None else plan.attempt
        self._counted: set[int] = set()
        self._sources: dict[str, LiveSource] = {}
        self._failures: deque[LiveFailure] = deque(maxlen=SHOWN_FAILURES)
        self._log = UnitLogReader(self._run)
        self._stage_seconds: dict[str, float] = {}
        self._slow_videos: list[tuple[str, float]] = []
        self._recent: deque[UnitLogEntry] = deque(maxlen=_RECENT_UNITS)
        self._replaceable = SCHEMA.empty_table().select(_COLUMNS)  # earlier decisions on videos of this plan
        if plan is None:
            return
        first = self._run.attempts()[0]  # has all inputs; later plans take some of them again
        inputs = plan if plan.attempt == first else read_plan(self._run, first)
        for name, videos in sorted(_count_videos(inputs.table).items()):
            self._sources[name] = LiveSource(videos=videos)
        if plan.attempt != first:
            earlier = self._run.ledger(before=plan.attempt).select(_COLUMNS)
            self._count(earlier, 1)
            self._replaceable = _of_videos(earlier, plan.table)

    def _count_units(self) -> None:
        """Add the committed units that are not counted yet, as many as the time allows, and one at least."""
        deadline_s = time.monotonic() + _READ_S
        for unit in sorted(self._run.finished_units(self._attempt) - self._counted):
            try:
                table = read_ledger(self._run.unit_folder(self._attempt, unit) / LEDGER).select(_COLUMNS)
            except (OSError, FaultError):
                continue  # removed meanwhile by `gc`, or damaged, which `audit` and `verify` report
            self._counted.add(unit)
            self._count(_of_videos(self._replaceable, table), -1)
            self._count(table, 1)
            if time.monotonic() > deadline_s:
                return

    def _count(self, table: pa.Table, sign: int) -> None:
        """Add the decisions of whole videos, or take them out again where `sign` is -1."""
        for name, videos in _count_videos(table).items():
            self._sources[name].videos_done += sign * videos
        frames = pc.subtract(table["stop_frame"], table["start_frame"])
        groups = table.append_column("frames", frames).group_by(["source", "status", "stage", "reason", "error"])
        for row in groups.aggregate([("frames", "sum"), ("frames", "count")]).to_pylist():
            spans, seconds = sign * row["frames_count"], sign * row["frames_sum"] / FRAMES_PER_SECOND
            source = self._sources[row["source"]]
            if row["status"] == "kept":
                source.kept_spans += spans
                source.kept_s += seconds
                continue
            key = (row["status"], str(row["stage"]), str(row["reason"] or row["error"]))
            ending = source.endings.setdefault(key, [0, 0.0])
            ending[0] += spans
            ending[1] += seconds
            if not ending[0]:
                del source.endings[key]
        self._list_failures(table.filter(pc.equal(table["status"], "failed")), sign)

    def _list_failures(self, failed: pa.Table, sign: int) -> None:
        for row in failed.slice(max(0, failed.num_rows - SHOWN_FAILURES)).to_pylist() if sign > 0 else ():
            names = {name: str(row[name] or "") for name in ("source", "video_id", "stage", "error", "message")}
            self._failures.append(LiveFailure(**names))
        if sign < 0:
            videos = set(zip(failed["source"].to_pylist(), failed["video_id"].to_pylist(), strict=True))
            failures = [each for each in self._failures if (each.source, each.video_id) not in videos]
            self._failures = deque(failures, maxlen=SHOWN_FAILURES)

    def _count_costs(self, entry: UnitLogEntry) -> None:
        for stage, seconds in entry.report.stage_seconds.items():
            self._stage_seconds[stage] = self._stage_seconds.get(stage, 0.0) + seconds
        videos = [*self._slow_videos, *entry.report.video_seconds.items()]
        self._slow_videos = sorted(videos, key=lambda item: -item[1])[:SHOWN_SLOW_VIDEOS]
        if entry.attempt == self._attempt:
            self._recent.append(entry)


def _count_videos(table: pa.Table) -> dict[str, int]:
    """Return source -> number of its videos in a table that names them."""
    rows = table.group_by("source").aggregate([("video_id", "count_distinct")]).to_pylist()
    return {str(row["source"]): int(row["video_id_count_distinct"]) for row in rows}


def _of_videos(table: pa.Table, videos: pa.Table) -> pa.Table:
    """Return the rows of a table whose videos another table names."""
    if not table.num_rows:
        return table
    keys = (
        pc.binary_join_element_wise(each["source"].cast(pa.string()), each["video_id"], "\0")
        for each in (table, videos)
    )
    rows, wanted = keys
    return table.filter(pc.is_in(rows, value_set=pc.unique(wanted)))


def _remaining_s(status: RunStatus, recent: Sequence[UnitLogEntry]) -> float | None:
    """Return the seconds that the open videos take at the rate of recent units, in the order of their commits."""
    if status.state != "going" or len(recent) < 3 or recent[-1].time <= recent[0].time:
        return None
    rate = sum(entry.report.videos for entry in list(recent)[1:]) / (recent[-1].time - recent[0].time)
    progress = status.progress
    open_videos = progress.videos - progress.videos_done - progress.videos_in_units
    return open_videos / rate if rate > 0 else None
