"""Units in progress, RUN/log/active/: how many of a unit's videos its worker has curated so far.

Progress displays read these files, also in another process than the run's. No result depends on them: a file that
cannot be written or read is ignored, and the file of a worker that died stays until the unit is started again.
"""

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json, stamp
from avf_shards.system.named_writes import write_text

from avf_curation.pipeline.unit_job import UnitJob

_STAGE_EVERY_S = 0.5  # the stages of a shot take milliseconds


@dataclass(frozen=True, kw_only=True)
class ActiveUnit:
    """A unit that a worker has started and not committed."""

    attempt: int  # number of the plan that the unit belongs to
    unit: int  # number of the unit in this plan
    videos: int  # inputs of the unit
    videos_done: int  # inputs that are curated; their decisions are committed with the unit
    started: float  # Unix time, in seconds
    video: str | None  # id of the input that the worker is at; None between two inputs
    stage: str | None  # the stage that it is at


def remove_active_units(run: RunFolder) -> None:
    """Remove the files of all units: no worker is at work, or only one whose coordinator died."""
    shutil.rmtree(_folder(run), ignore_errors=True)


def read_active_units(run: RunFolder, attempt: int) -> list[ActiveUnit]:
    """Return the units of an attempt that are in progress, by number."""
    units = []
    for path in sorted(_folder(run).glob(f"{attempt}-*.json")):
        # A file may be gone, half-written or of another version at this moment.
        with suppress(OSError, FaultError, UserError):
            fields = Fields(read_json(path, "active unit"), str(path))
            units.append(
                ActiveUnit(
                    attempt=fields.integer("attempt"),
                    unit=fields.integer("unit"),
                    videos=fields.integer("videos"),
                    videos_done=fields.integer("videos_done"),
                    started=fields.number("started"),
                    video=fields.optional_text("video"),
                    stage=fields.optional_text("stage"),
                )
            )
    return units


class ActiveUnitFile:
    """Writes the file of one unit while its worker is at it: at the start, after each video; removed at the end."""

    def __init__(self, run: RunFolder, job: UnitJob, min_interval_s: float) -> None:
        """Name the file of a unit.

        Args:
            min_interval_s: seconds between two writes at least. On a network file system that thousands of workers
                share, each write is an operation of its server.
        """
        self._min_interval_s = min_interval_s
        self._path = _folder(run) / f"{job.attempt}-{job.unit:07d}.json"
        self._unit = ActiveUnit(
            attempt=job.attempt,
            unit=job.unit,
            videos=len(job.videos),
            videos_done=0,
            started=round(time.time(), 3),
            video=None,
            stage=None,
        )
        self._written_s = 0.0

    def video_started(self, video_id: str) -> None:
        """Note the input that the worker is at now."""
        self._unit = replace(self._unit, video=video_id, stage=None)
        self._write_if_due(self._min_interval_s)

    def stage_started(self, stage: str) -> None:
        """Note the stage that the worker is at now; a short stage may not be written."""
        if stage != self._unit.stage:
            self._unit = replace(self._unit, stage=stage)
            self._write_if_due(max(_STAGE_EVERY_S, self._min_interval_s))

    def video_done(self) -> None:
        """Count one more video."""
        self._unit = replace(self._unit, videos_done=self._unit.videos_done + 1, video=None, stage=None)
        self._write_if_due(self._min_interval_s)

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write_if_due(self, interval_s: float) -> None:
        if time.monotonic() - self._written_s >= interval_s:
            self._write()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(stamp(asdict(self._unit), "active unit")))


def _folder(run: RunFolder) -> Path:
    return run.log_folder / "active"
