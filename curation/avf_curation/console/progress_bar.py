"""The live progress bar of a run: videos, clips kept / rejected / failed, speed, time left."""

import logging
import time
from types import TracebackType
from typing import Self

from avf_shards.cli.logging_setup import draws_progress
from avf_shards.timeline import FRAMES_PER_SECOND
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from avf_curation.console.terminal import make_console
from avf_curation.runs.progress import Progress

_LOG = logging.getLogger(__name__)
_LINE_EVERY_S = 15.0


class ProgressBar:
    """A progress bar on a terminal, a log message every 15 s elsewhere. Call it with each Progress."""

    def __init__(self) -> None:
        self._console = make_console(stderr=True)
        self._live = draws_progress()
        self._start = time.monotonic()
        self._logged_at = 0.0
        self._base_frames: int | None = None
        self._bar = RichProgress(
            TextColumn("[bold]curate"),
            BarColumn(bar_width=None),  # takes what the texts leave of the line
            MofNCompleteColumn(),
            TextColumn("videos: {task.fields[counts]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._live,
            expand=True,
        )
        self._task = self._bar.add_task("curate", total=None, counts="")

    def __call__(self, progress: Progress) -> None:
        if self._base_frames is None:
            self._base_frames = progress.frames
        elapsed = max(1e-6, time.monotonic() - self._start)
        speed = (progress.frames - self._base_frames) / FRAMES_PER_SECOND / elapsed
        counts = f"{progress.kept} kept, {progress.rejected} rejected, {progress.failed} failed"
        text = f"{counts}; {speed:.1f} s/s"  # seconds of video per second; 80 characters have no room for the words
        self._bar.update(self._task, completed=progress.videos_done, total=progress.videos, counts=text)
        last = progress.units_done == progress.units
        if not self._live and (last or time.monotonic() - self._logged_at > _LINE_EVERY_S):
            self._logged_at = time.monotonic()
            _LOG.info("%d/%d videos, %s, %.1f s of video per s", progress.videos_done, progress.videos, counts, speed)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
