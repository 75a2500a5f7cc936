"""Time and GPU-hours of a study before it starts, computed from the work of each run and an assumed speed of a GPU.

The work is counted as in models/flops.py: training steps, the scores after each epoch and the test at the end, but
neither start-up nor waits for data.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.config.pretrain import load_recipe
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import PretrainingSampler
from avf_training.data.stream import ClipStream
from avf_training.finetuning.finetune import training_steps
from avf_training.models.flops import training_flops
from avf_training.study.plan import Job
from avf_training.tasks.catalog import find_dataset
from avf_training.tasks.hybrid import hybrid_task
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, fold_task, transfer_task
from avf_training.trainer.stream_run import run_lengths

# TFLOP/s that AVF-MAE++ B reaches on one H100 in the papers' precision (docs/gpu.md: 46.8); bf16 reaches twice as much.
DEFAULT_TERAFLOPS = 45.0
_FORWARD_SHARE = 1 / 3  # of the work of a training step


@dataclass(frozen=True, kw_only=True)
class JobEstimate:
    """Estimated cost of a run."""

    job: Job  # the run
    clips: int  # clips that training and scoring look at, in training steps' worth
    flops: float  # floating-point operations
    hours: float  # on the GPUs of the run

    @property
    def gpu_hours(self) -> float:
        """Hours times GPUs; on a CPU, hours."""
        return self.hours * max(1, self.job.gpus)


@dataclass(frozen=True, kw_only=True)
class StudyEstimate:
    """Estimated cost of the runs of a study that are to do."""

    jobs: tuple[JobEstimate, ...]  # in the order of the study
    hours: float  # from the start to the end of the last run
    gpus: int  # that work at a time; 0: a CPU
    teraflops: float  # assumed of one GPU

    @property
    def gpu_hours(self) -> float:
        """Sum over the runs."""
        return sum(each.gpu_hours for each in self.jobs)


def estimate_study(
    jobs: Sequence[Job], shards: LabelledShards, *, gpus: int, slots: int, teraflops: float
) -> StudyEstimate:
    """Return the estimated cost of the runs that are not done. Raises UserError, FaultError.

    Args:
        gpus: of all machines together; 0: each run computes on the CPU.
        slots: runs at a time.
        teraflops: TFLOP/s of one GPU, or of the CPU.
    """
    tasks: dict[tuple[str | None, ...], Task] = {}
    estimates = []
    for job in (job for job in jobs if not job.done.is_file()):
        clips, flops = _pretraining_work(job) if job.stage == "pretrain" else _labelled_work(job, shards, tasks)
        hours = flops / (teraflops * 1e12 * max(1, job.gpus)) / 3600
        estimates.append(JobEstimate(job=job, clips=clips, flops=flops, hours=hours))
    return StudyEstimate(jobs=tuple(estimates), hours=_makespan(estimates, gpus, slots), gpus=gpus, teraflops=teraflops)


def _pretraining_work(job: Job) -> tuple[int, float]:
    """Return clips and FLOPs of a pre-training run."""
    recipe = load_recipe(job.recipe, job.overrides)
    shards = job.option("--shards")
    assert shards is not None
    config = StreamConfig(shards=shards, batch=recipe.micro_batch, seed=recipe.seed, mix=recipe.mix)
    sampler = PretrainingSampler(recipe.model_config(), recipe.masks, recipe.any_start_frame)
    steps, _ = run_lengths(recipe, len(ClipStream(config, sampler).order))
    clips = steps * recipe.batch
    return clips, clips * training_flops(recipe.model_config())


def _labelled_work(job: Job, shards: LabelledShards, tasks: dict[tuple[str | None, ...], Task]) -> tuple[int, float]:
    """Return clips and FLOPs of post-pre-training or fine-tuning, with its scores and its test.

    Args:
        tasks: those of earlier calls, which runs of other rows and seeds have in common.
    """
    assert job.stage != "pretrain"
    recipe = load_finetune_recipe(job.stage, job.recipe, job.overrides)
    names = job.stage, job.option("--target") or job.option("--dataset"), job.option("--fold"), job.option("--train-on")
    key = (*names, recipe.modalities, str(recipe.validation_share))
    if key not in tasks:
        tasks[key] = _task(job, recipe, shards)
    task = tasks[key]
    steps, epochs = training_steps(recipe, task.epoch_clips or len(task.train))
    scored = len(task.validation) + (len(task.test) if recipe.score_test else 0)
    protocols = 1 + bool(task.validation) + recipe.score_test
    tested = len(task.test) * recipe.segments * protocols
    views = scored * (epochs // recipe.evaluate_every) + tested
    clips = steps * recipe.samples + int(views * _FORWARD_SHARE)
    return clips, clips * training_flops(recipe.model_config(), task.outputs)


def _task(job: Job, recipe: FinetuneRecipe, shards: LabelledShards) -> Task:
    number, share = int(job.option("--fold") or 1), recipe.validation_share
    if target := job.option("--target"):
        joining = [
            find_dataset(value) for option, value in zip(job.argv, job.argv[1:], strict=False) if option == "--join"
        ]
        return hybrid_task(
            find_dataset(target), shards, number, modalities=recipe.modalities, validation_share=share, joining=joining
        )
    data, source = find_dataset(str(job.option("--dataset"))), job.option("--train-on")
    if source:
        return transfer_task(find_dataset(source), data, shards, recipe.modalities, share)
    return fold_task(data, shards, number, recipe.modalities, share)


def _makespan(estimates: Sequence[JobEstimate], gpus: int, slots: int) -> float:
    """Return when the last run ends, in hours, if runs are started as the launcher starts them (see launcher.py).

    Those whose needs are done start in order on free GPUs; the first without enough of them lets none overtake it.
    """
    waiting = list(estimates)
    running: list[tuple[float, int]] = []  # end, and number in `estimates`, of the runs in work
    free, now = gpus, 0.0
    while waiting or running:
        unfinished = {each.job.out for each in waiting} | {estimates[number].job.out for _, number in running}
        for each in [each for each in waiting if not unfinished & set(each.job.needs)]:
            # With nothing in work, waiting frees no GPUs.
            if running and (len(running) >= slots or each.job.gpus > free):
                break
            waiting.remove(each)
            free -= each.job.gpus
            heapq.heappush(running, (now + each.hours, estimates.index(each)))
        now = running[0][0]
        while running and running[0][0] <= now:
            free += estimates[heapq.heappop(running)[1]].job.gpus
    return now


def describe_estimate(estimate: StudyEstimate) -> list[str]:
    """Return lines that say what the runs to do are estimated to take: a line for each stage, then all together."""
    stages: dict[str, list[JobEstimate]] = {}
    for each in estimate.jobs:
        stages.setdefault(f"{each.job.stage}, {_devices(each.job.gpus)} a run", []).append(each)
    lines = [
        f"{name}: {len(runs)} to do, {min(run.hours for run in runs):.3g} to {max(run.hours for run in runs):.3g} h "
        f"each, {sum(run.gpu_hours for run in runs):,.3g} {_unit(estimate.gpus)}"
        for name, runs in stages.items()
    ]
    work = f"{_unit(estimate.gpus)} and {estimate.hours:,.3g} h on {_devices(estimate.gpus)}"
    return [
        *lines,
        f"all {len(estimate.jobs)}: about {estimate.gpu_hours:,.3g} {work}, "
        f"at {estimate.teraflops:g} TFLOP/s each (--teraflops), without waits for data",
    ]


def _devices(gpus: int) -> str:
    return "the CPU" if not gpus else f"{gpus} GPU{'' if gpus == 1 else 's'}"


def _unit(gpus: int) -> str:
    return "GPU-hours" if gpus else "hours of the CPU"
