"""The live progress bar of a run: videos, clips kept / rejected / failed, speed, time left."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from avf_shards.cli.logging_setup import draws_progress
from avf_shards.format.content import input_noun
from avf_shards.text import format_wait
from avf_shards.timeline import FRAMES_PER_SECOND
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from avf_curation.console.terminal import make_console
from avf_curation.runs.progress import Progress

_LOG = logging.getLogger(__name__)
_LINE_EVERY_S = 15.0
_STAGE_TITLES = {
    "scenes+faces": "finding shots and faces",
    "sound": "reading the sound",
    "silence": "finding speech",
    "track": "tracking faces",
    "crop": "cutting out faces",
    "identity": "asking who the face is",
    "speaker": "asking who speaks",
    "sync": "comparing lips and voice",
    "quality": "measuring quality",
    "clip": "encoding clips",
}  # of the stages as the stage timer names them


class ProgressBar:
    """A progress bar on a terminal, a line every 15 s elsewhere. Call it with each Progress."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        """Draw nothing yet.

        write: takes each line; None logs it.
        """
        self._write = write or (lambda line: _LOG.info("%s", line))
        self._live = draws_progress()
        self._start_s = self._logged_s = time.monotonic()
        self._first: Progress | None = None
        self._logged_videos = -1
        self._bar = RichProgress(
            TextColumn("[bold]curate"),
            BarColumn(bar_width=None),  # takes what the texts leave of the line
            MofNCompleteColumn(),
            TextColumn("{task.fields[noun]}s: {task.fields[counts]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=make_console(stderr=True),
            disable=not self._live,
            expand=True,
            speed_estimate_period=600,  # a video may take minutes, so a mean of the last seconds would say little
        )
        self._task = self._bar.add_task("curate", total=None, counts="", noun="video")

    def __call__(self, progress: Progress) -> None:
        self._first = first = self._first or progress
        elapsed_s = max(1e-6, time.monotonic() - self._start_s)
        done = progress.videos_done + progress.videos_in_units
        counts = f"{progress.kept} kept, {progress.rejected} rejected, {progress.failed} failed"
        if (
            progress.content == "clips" and progress.frames > first.frames
        ):  # only the length of committed units is known
            speed = (progress.frames - first.frames) / FRAMES_PER_SECOND / elapsed_s
            counts += f"; {speed:.1f} s/s"  # seconds of video per second; 80 characters have no room for the words
        noun = input_noun(progress.content)
        self._bar.update(self._task, completed=done, total=progress.videos, counts=counts, noun=noun)
        if not self._live:
            self._log(progress, done, elapsed_s, counts)

    def _log(self, progress: Progress, done: int, elapsed_s: float, counts: str) -> None:
        """Log a line when videos were finished, at most every 15 s; the last line at once."""
        finished = progress.units_done == progress.units
        if done == self._logged_videos or not (finished or time.monotonic() - self._logged_s > _LINE_EVERY_S):
            return
        self._logged_s, self._logged_videos = time.monotonic(), done
        assert self._first is not None
        new = done - self._first.videos_done - self._first.videos_in_units
        left = f"; about {format_wait(elapsed_s / new * (progress.videos - done))} left" if new and not finished else ""
        self._write(f"{done}/{progress.videos} {input_noun(progress.content)}s, {counts}{left}")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


@contextmanager
def stage_spinner() -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows the stage that the only video of a run is at, with the time so far."""
    with RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=make_console(stderr=True),
        disable=not draws_progress(),
        transient=True,
    ) as bar:
        task = bar.add_task("starting", total=None)

        def show(progress: Progress) -> None:
            stages = [unit.stage for unit in progress.active if unit.stage]
            if stages:
                bar.update(task, description=_STAGE_TITLES.get(stages[0], stages[0]))

        yield show


def clip_display(videos: Path) -> AbstractContextManager[Callable[[Progress], None]]:
    """Return the display for cutting clips: of the videos in a folder, or of the stages of one video."""
    return ProgressBar() if videos.is_dir() else stage_spinner()
