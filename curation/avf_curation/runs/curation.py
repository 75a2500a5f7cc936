"""Curate a run from start to end: identity, plan, units, ledger. After any death the same call continues the run."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from avf_shards.deletion.takedown import apply_denylist
from avf_shards.format.denylist import NOTHING_DENIED, Denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.stores.opening import attached_mirrors
from avf_shards.system.mirror_registry import bring, push

from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.execution.active_units import remove_active_units
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event, EventLog
from avf_curation.execution.limits import DEFAULT_MAX_FAULT_SHARE
from avf_curation.execution.worker import PipelineStages, WorkerSetup
from avf_curation.pipeline.picture import check_picture_tools, curate_picture, finish_picture
from avf_curation.pipeline.picture_unit import decide_pictures
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.recipe import Recipe
from avf_curation.runs.coordinator import Coordinator
from avf_curation.runs.frozen_plan import RunPlan, read_plan
from avf_curation.runs.planning import InputChoice, plan_retry, plan_run
from avf_curation.runs.progress import LiveProgress, Progress, ProgressReader
from avf_curation.runs.unit_log import append_unit

Engine = Literal["inline", "ray"]
log = logging.getLogger(__name__)
_FULL_PIPELINE = PipelineStages()
_PICTURE_PIPELINE = PipelineStages(
    screen=curate_picture, refine=finish_picture, decide=decide_pictures, test=check_picture_tools
)
_PICTURE_INTERVAL_S = 0.5  # a picture takes milliseconds
_CLUSTER_INTERVAL_S = 30.0  # 10,000 workers then note their progress 333 times a second


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options for the execution of a run.

    Apart from `device` and `stages`, no option changes a verdict or a byte; `max_fault_share` and `fail_unreadable`
    say whether the run stops or a video fails where the machine may be to blame.
    """

    engine: Engine = "ray"  # inline: in this process, to debug
    cluster: ClusterConfig = field(default_factory=lambda: ClusterConfig(workers=1))  # workers and their GPUs
    device: str = "cpu"  # torch device of RetinaFace and SyncNet
    retry_failed: bool = False  # decide the failed videos of a finished run again
    #: Of videos that fail for reasons that are not the file's; 1: no limit.
    max_fault_share: float = DEFAULT_MAX_FAULT_SHARE
    fail_unreadable: bool = False  # inputs that three tries of their unit could not read fail; else the run stops
    allow_unreadable: bool = False  # plan without the folders that cannot be read
    follow_symlinks: bool = False  # also take what links name outside the sources' folders
    deny: Denylist = NOTHING_DENIED  # is added to the denylist of the run
    min_free_gb: float = 0.0  # stop before the disk of the run has less
    #: The work on a unit; tests and benchmarks pass cheaper functions. None: as the content of the run needs.
    stages: PipelineStages | None = None


def curate(
    recipe: Recipe,
    backends: BackendSelection,
    sources: Mapping[str, Path],
    out: Path,
    options: RunOptions = RunOptions(),
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> RunFolder:
    """Curate `sources` (name -> folder) into the run folder `out`, and return it.

    Args:
        on_progress: called at the start, after each committed unit, and when videos of a unit in progress are finished.

    Raises:
        UserError: the settings, the sources or `out` do not allow this run.
        InfrastructureError: the machine failed; the same call continues where the run stopped.
    """
    run = RunFolder(out.resolve())
    choice = InputChoice(
        allow_unreadable=options.allow_unreadable, follow_symlinks=options.follow_symlinks, deny=options.deny
    )
    plan: RunPlan | None = plan_run(recipe, backends, sources, run.root, device=options.device, choice=choice)
    roots = {name: root.resolve() for name, root in sources.items()}
    emit = EventLog(run.log_folder)
    try:
        with Coordinator(run, emit, options.min_free_gb) as coordinator:
            if options.retry_failed:
                plan = plan_retry(run, recipe, roots)
            if plan is None:  # nothing failed; the denylist may have grown by `--deny`
                apply_denylist(run)
                return run
            # Temporary folders can only be a dead process's: no other coordinator is at work.
            run.clear_temporary()
            remove_active_units(run)
            setup = WorkerSetup(
                run=run,
                recipe=recipe,
                backends=backends,
                roots=roots,
                identity=run.identity(),
                device=options.device,
                fail_unreadable=options.fail_unreadable,
                progress_interval_s=_progress_interval_s(recipe, options),
                stages=options.stages or (_FULL_PIPELINE if recipe.content == "clips" else _PICTURE_PIPELINE),
                denylist=run.denylist(),
                mirrors=attached_mirrors(),
            )
            finished = run.finished_units(plan.attempt)
            log.info("%s: %d of %d units are committed", run.root, len(finished), plan.units)
            with LiveProgress(run, plan.attempt, ProgressReader(run, plan).read(), on_progress) as progress:
                for report in _run_units(plan, finished, setup, options, emit):
                    append_unit(run, report, plan.attempt)
                    emit(Event(name="unit_done", unit=report.unit))
                    progress.unit_done(report)
                    coordinator.check()
            coordinator.check()
            bring(run.unit_folder(plan.attempt, unit) for unit in range(plan.units))
            run.finish_attempt(plan.attempt)
            coordinator.check()
            apply_denylist(run)  # to what was decided before an entry came
            run.clear_temporary()
            remove_active_units(run)
    finally:
        emit.close()
        push(run.root)
    return run


def _progress_interval_s(recipe: Recipe, options: RunOptions) -> float:
    if options.cluster.address:
        return _CLUSTER_INTERVAL_S
    return 0.0 if recipe.content == "clips" else _PICTURE_INTERVAL_S


def _run_units(
    plan: RunPlan, finished: set[int], setup: WorkerSetup, options: RunOptions, emit: EventLog
) -> Iterator[UnitReport]:
    if len(finished) == plan.units:  # so that no worker is started
        return
    every = read_plan(setup.run, 0) if plan.attempt else plan
    decided = every.count_videos() - plan.count_videos(finished)  # of the run, without those of the jobs
    jobs, breaker = plan.jobs(finished), CircuitBreaker(options.max_fault_share, decided)
    if options.engine == "inline":
        from avf_curation.execution.inline_runner import InlineRunner  # here: it imports OpenCV and PyAV

        yield from InlineRunner(setup, breaker, emit).run(jobs)
    else:
        from avf_curation.execution.ray_executor import run_units  # here: importing Ray takes a second

        yield from run_units(jobs, setup, options.cluster, breaker, emit)
