"""The progress of a run, in units, videos and spans."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from avf_shards.format.content import Content
from avf_shards.format.run_folder import RunFolder

from avf_curation.execution.active_units import ActiveUnit, read_active_units
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.runs.frozen_plan import RunPlan

_WATCH_EVERY_S = 1.0  # a display that moves each second is live enough


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The planned work of an attempt of a run, and the part of this work that is committed."""

    units: int  # planned
    units_done: int  # committed
    videos: int  # planned
    videos_done: int  # of the committed units, as are the counts of spans and frames
    videos_in_units: int = 0  # curated, in units that are not committed yet
    active: tuple[ActiveUnit, ...] = ()  # units that workers are at now
    content: Content = "clips"  # what the run is of
    kept: int  # spans
    rejected: int  # spans
    failed: int  # spans
    frames: int  # of all spans, at 25 fps

    def after(self, report: UnitReport) -> "Progress":
        """Return the progress after one more committed unit."""
        return replace(
            self,
            units_done=self.units_done + 1,
            videos_done=self.videos_done + report.videos,
            videos_in_units=max(0, self.videos_in_units - report.videos),
            kept=self.kept + report.kept,
            rejected=self.rejected + report.rejected,
            failed=self.failed + report.failed,
            frames=self.frames + report.frames,
        )

    def with_active(self, units: Iterable[ActiveUnit]) -> "Progress":
        """Return the progress with the videos of these units, which are not committed yet."""
        open_videos = self.videos - self.videos_done
        active = tuple(units)
        return replace(self, videos_in_units=min(open_videos, sum(u.videos_done for u in active)), active=active)


class LiveProgress:
    """Reports the progress of a run to a function, after each committed unit and when videos in units are finished.

    The function is called from two threads, never at the same time.
    """

    def __init__(
        self, run: RunFolder, attempt: int, progress: Progress, on_progress: Callable[[Progress], None]
    ) -> None:
        self._run, self._attempt, self._on_progress = run, attempt, on_progress
        self._progress, self._lock, self._stop = progress, threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def unit_done(self, report: UnitReport) -> None:
        """Count a unit that is committed now."""
        with self._lock:
            self._progress = self._progress.after(report)
            self._on_progress(self._progress)

    def __enter__(self) -> Self:
        self._on_progress(self._progress)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        pause_s = _WATCH_EVERY_S
        while not self._stop.wait(pause_s):
            started_s = time.monotonic()
            units = read_active_units(self._run, self._attempt)
            # The files of thousands of workers on a network file system take a while: at most 5 % of the time is spent.
            pause_s = max(_WATCH_EVERY_S, 20 * (time.monotonic() - started_s))
            with self._lock:
                progress = self._progress.with_active(units)
                if progress != self._progress:
                    self._progress = progress
                    self._on_progress(progress)


class ProgressReader:
    """Reads the progress of an attempt again and again; the manifest of a committed unit is read once."""

    def __init__(self, run: RunFolder, plan: RunPlan) -> None:
        self._run, self._plan = run, plan
        self._counts = dict.fromkeys(("kept", "rejected", "failed", "frames"), 0)
        self._units: set[int] = set()  # whose manifests are in the counts

    def read(self) -> Progress:
        """Return the progress of now."""
        run, plan = self._run, self._plan
        finished = run.finished_units(plan.attempt)
        for unit in finished - self._units:
            manifest = run.unit_manifest(plan.attempt, unit)
            for name in self._counts:
                self._counts[name] += manifest.counts[name]
        self._units = finished
        videos_done = int(np.isin(plan.table["unit"].to_numpy(), list(finished)).sum()) if finished else 0
        progress = Progress(
            units=plan.units,
            units_done=len(finished),
            videos=plan.table.num_rows,
            content=plan.content,
            videos_done=videos_done,
            kept=self._counts["kept"],
            rejected=self._counts["rejected"],
            failed=self._counts["failed"],
            frames=self._counts["frames"],
        )
        return progress.with_active(unit for unit in read_active_units(run, plan.attempt) if unit.unit not in finished)
