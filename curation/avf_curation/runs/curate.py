"""A run from start to end: identity, plan, units, ledger. Started again after any death it goes on where it was."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from avf_shards import durable_io
from avf_shards.errors import UserError
from avf_shards.format.run_folder import UNIT, RunFolder

from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event, EventLog
from avf_curation.execution.worker import Curate, PipelineStages, UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.unit import RunIdentity, UnitJob, UnitReport
from avf_curation.recipe import Recipe
from avf_curation.runs.coordinator import Coordinator
from avf_curation.runs.identity import freeze_identity, remember_roots, run_identity
from avf_curation.runs.plan import encode_plan, encode_skipped_inputs, make_plan, videos_of
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video

Engine = Literal["inline", "ray"]
SKIPPED_FILE = "skipped_inputs.parquet"
ONE_WORKER = ClusterConfig(workers=1)
_LOG = logging.getLogger("avf_curation")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A frozen plan: its table and what was skipped."""

    attempt: int
    table: pa.Table
    skipped_inputs: tuple[SkippedInput, ...]

    @property
    def units(self) -> int:
        return int(pc.max(self.table["unit"]).as_py()) + 1 if self.table.num_rows else 0

    def jobs(self, finished: set[int]) -> Iterator[UnitJob]:
        """The units that are still to do, in order; made when they are asked for."""
        edges = np.searchsorted(self.table["unit"].to_numpy(), np.arange(self.units + 1))
        for unit in range(self.units):
            if unit not in finished:
                rows = self.table.slice(int(edges[unit]), int(edges[unit + 1] - edges[unit]))
                yield UnitJob(unit=unit, attempt=self.attempt, videos=tuple(videos_of(rows)))


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, after each unit. Frames are of finished units."""

    units: int
    units_done: int
    videos: int
    videos_done: int
    kept: int
    rejected: int
    failed: int
    frames: int


Choose = Callable[[list[Video]], list[Video]]
"""Which of all inputs a run takes."""


def plan_run(
    recipe: Recipe,
    choice: BackendSelection,
    sources: dict[str, Path],
    out: Path,
    *,
    device: str = "cpu",
    chosen: Choose = lambda videos: videos,
) -> RunPlan:
    """Freeze identity and plan of a run in `out`, or read the frozen ones. Raises UserError."""
    for name, root in sources.items():
        if out.resolve().is_relative_to(root.resolve()):
            raise UserError(f"--out {out}: lies inside source {name} ({root}); inputs are never written to")
    run = RunFolder(out)
    identity = run_identity(recipe, choice, list(sources), device)
    if run.identity_file.is_file() or run.root.exists():
        freeze_identity(run, identity)  # before anything is read: it may be another run's folder
    roots = {name: root.resolve() for name, root in sources.items()}
    if not run.attempts():
        skipped_inputs: list[SkippedInput] = []
        videos = [
            v
            for name, root in sorted(roots.items())
            for v in list_inputs(name, root, recipe.of(name).plan, skipped_inputs)
        ]
        table = make_plan(chosen(videos), {name: recipe.of(name).plan for name in roots})
        freeze_identity(run, identity)  # after: a corpus of another layout leaves nothing behind
        _publish_plan(run, 0, table, skipped_inputs)
    remember_roots(run, roots)
    return read_plan(run, run.attempts()[-1])


def plan_retry(run: RunFolder, recipe: Recipe, roots: dict[str, Path]) -> RunPlan | None:
    """A new attempt of the videos that failed, as they are now; None when none did. The last must be finished."""
    newest = run.attempts()[-1]
    if not (run.attempt_folder(newest) / "ledger").is_dir():
        return read_plan(run, newest)
    table = run.ledger()
    failed = table.filter(pc.equal(table["status"], "failed"))
    wanted = set(zip(failed["source"].to_pylist(), failed["video_id"].to_pylist(), strict=True))
    again: dict[tuple[str, str], Video] = {}
    for attempt in run.attempts():
        planned = read_plan(run, attempt).table
        rows = planned.filter(pc.is_in(planned["video_id"], value_set=pc.unique(failed["video_id"])))
        for video in videos_of(rows):
            if (video.source, video.video_id) in wanted:
                again[video.source, video.video_id] = _as_it_is(video, roots[video.source])
    if not again:
        return None
    config = {name: recipe.of(name).plan for name in roots}
    _publish_plan(run, newest + 1, make_plan(again.values(), config), [])
    return read_plan(run, newest + 1)


def _as_it_is(video: Video, root: Path) -> Video:
    try:
        stat = os.stat(root / video.path)
    except OSError:
        return video
    return replace(video, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _publish_plan(run: RunFolder, attempt: int, table: pa.Table, skipped_inputs: Sequence[SkippedInput]) -> None:
    notes = (
        json.dumps({"videos": table.num_rows, "skipped_inputs": len(skipped_inputs)}, sort_keys=True) + "\n"
    ).encode()
    files = {
        "plan.parquet": encode_plan(table),
        SKIPPED_FILE: encode_skipped_inputs(skipped_inputs),
        "plan.json": notes,
    }
    try:
        run.publish(f"plan-{attempt}", run.attempt_folder(attempt) / "plan", files)
    except durable_io.AlreadyExistsError:
        _LOG.info("another process froze the plan first")


def read_plan(run: RunFolder, attempt: int) -> RunPlan:
    """The frozen plan of an attempt."""
    folder = run.attempt_folder(attempt) / "plan"
    skipped_inputs = folder / SKIPPED_FILE  # a takedown's plan has none
    listed = pq.read_table(skipped_inputs).to_pylist() if skipped_inputs.is_file() else []
    return RunPlan(
        attempt=attempt,
        table=pq.read_table(folder / "plan.parquet"),
        skipped_inputs=tuple(SkippedInput(**one) for one in listed),
    )


def planned_videos(run: RunFolder, videos: set[str]) -> dict[tuple[str, str], Video]:
    """(source, video) -> the input as the newest plan has it, for these ids."""
    found = {}
    for attempt in run.attempts():
        table = read_plan(run, attempt).table
        for video in videos_of(
            table.filter(pc.is_in(table["video_id"], value_set=pa.array(sorted(videos), pa.string())))
        ):
            found[video.source, video.video_id] = video
    return found


def curate(
    recipe: Recipe,
    choice: BackendSelection,
    sources: dict[str, Path],
    out: Path,
    *,
    engine: Engine = "ray",
    cluster: ClusterConfig = ONE_WORKER,
    device: str = "cpu",
    retry_failed: bool = False,
    min_free_gb: float = 0.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    curate_one: Curate | None = None,
) -> RunFolder:
    """Curate `sources` into `out`. Raises UserError, or InfrastructureError after which the same call goes on.

    min_free_gb: stop when the disk of `out` has less. curate_one: stands for the work on a video, in tests.
    """
    run = RunFolder(out.resolve())
    planned = plan_run(recipe, choice, sources, run.root, device=device)
    roots = {name: root.resolve() for name, root in sources.items()}
    tell = EventLog(run.log_folder)
    try:
        with Coordinator(run, tell, min_free_gb) as coordinator:
            if retry_failed:
                retry = plan_retry(run, recipe, roots)
                if retry is None:
                    return run
                planned = retry
            durable_io.remove(run.root / "tmp")  # what a killed run left half done
            identity = run.identity()
            told = RunIdentity(fingerprint=identity["fingerprint"], backends=identity["backends"])
            halves = PipelineStages() if curate_one is None else PipelineStages.undivided(curate_one)
            setup = WorkerSetup(
                run=run, recipe=recipe, choice=choice, roots=roots, identity=told, device=device, halves=halves
            )
            finished = run.finished_units(planned.attempt)
            jobs = planned.jobs(finished) if len(finished) < planned.units else None
            progress = progress_of(run, planned, finished)
            on_progress(progress)
            for report in _reports(engine, jobs, setup, cluster, tell):
                _log_unit(run, report, planned.attempt)
                tell(Event(name="unit_done", unit=report.unit))
                progress = _advance(progress, report)
                on_progress(progress)
                coordinator.check()
            run.finish_attempt(planned.attempt)
            durable_io.remove(run.root / "tmp")
    finally:
        tell.close()
    return run


def _reports(
    engine: Engine, jobs: Iterator[UnitJob] | None, setup: WorkerSetup, cluster: ClusterConfig, tell: EventLog
) -> Iterator[UnitReport]:
    if jobs is None:  # all is done: no worker is started
        return
    if engine == "inline":
        worker = UnitWorker(setup)
        for job in jobs:
            tell(Event(name="unit_started", unit=job.unit, pool="inline"))
            try:
                yield worker.run(job)
            except OSError as error:
                raise InfrastructureError(f"{error.filename or setup.run.root}: {error.strerror}") from error
    else:
        from avf_curation.execution.ray_executor import run_units

        yield from run_units(jobs, setup, cluster, tell)


def progress_of(run: RunFolder, planned: RunPlan, finished: set[int]) -> Progress:
    """How far an attempt is, from its committed units."""
    sums = dict.fromkeys(("kept", "rejected", "failed", "frames"), 0)
    for unit in finished:
        manifest = json.loads((run.unit_folder(planned.attempt, unit) / UNIT).read_bytes())
        for name in sums:
            sums[name] += manifest["counts"][name]
    done = int(np.isin(planned.table["unit"].to_numpy(), list(finished)).sum()) if finished else 0
    return Progress(
        units=planned.units, units_done=len(finished), videos=planned.table.num_rows, videos_done=done, **sums
    )


def _advance(before: Progress, report: UnitReport) -> Progress:
    return Progress(
        units=before.units,
        units_done=before.units_done + 1,
        videos=before.videos,
        videos_done=before.videos_done + report.videos,
        kept=before.kept + report.kept,
        rejected=before.rejected + report.rejected,
        failed=before.failed + report.failed,
        frames=before.frames + report.frames,
    )


def _log_unit(run: RunFolder, report: UnitReport, attempt: int) -> None:
    with open(run.log_folder / "units.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), "attempt": attempt} | asdict(report)) + "\n")
