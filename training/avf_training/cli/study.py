"""avf-train study: a matrix of runs, and the page of its results."""

import argparse
import logging
import math
import os
import signal
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, set_completer
from avf_shards.cli.paths import output_folder
from avf_shards.cli.standard_output import forgive_closed_output
from avf_shards.errors import UserError
from avf_shards.system.own_files import PAGE, json_table, require_replaceable

from avf_training.cli.options import RECIPES, add_device_option, add_labelled_shards_option, labelled_shards

_LOG = logging.getLogger(__name__)
_CPU_SHARE = 0.3  # of its measured peak that training reaches


def add(commands: Any) -> None:
    """Add `study`."""
    parser = add_command(
        commands,
        "study",
        _run,
        help="Run a matrix of models, data sets, folds and seeds, and write a page of the results.",
        details="A study that was stopped continues when the same command is started again.",
        epilog="example:\n  avf-train study table21 --shards MAFW --unlabelled SHARDS --gpus 0,1 --out STUDY",
    )
    action = parser.add_argument(
        "study", metavar="STUDY|FILE", help="a study of training/recipes/study by its name, or a file"
    )
    set_completer(action, lambda: [path.stem for path in (RECIPES / "study").glob("*.yaml")])
    add_labelled_shards_option(parser)
    parser.add_argument(
        "--unlabelled",
        metavar="SHARDS",
        action="append",
        default=[],
        help="shards for the pre-training of rows; repeat for more",
    )
    parser.add_argument(
        "--model",
        dest="models",
        metavar="NAME=RUN|MODEL",
        action="append",
        default=[],
        help="model that rows start from, by the name that they use; repeat for more",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="folder of the study; made if missing"
    )
    parser.add_argument(
        "--row",
        dest="rows",
        metavar="ROW",
        action="append",
        default=[],
        help="row to run; repeat for more (default: all)",
    )
    parser.add_argument(
        "--set",
        metavar="[STAGE:]KEY=VALUE",
        action="append",
        default=[],
        help="one field of the recipes of all runs, or of all runs of a stage; repeat for more",
    )
    _add_machine_options(parser)
    add_device_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print the estimate and the command of each run")
    parser.add_argument("--report", action="store_true", help="only write the page of the runs that are finished")


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where runs are computed and how many at a time."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help="runs at a time (default: as the GPUs allow; without GPUs 1, on Ray a CPU each)",
    )
    parser.add_argument(
        "--gpus", metavar="0,1,...", help="GPUs of this machine, each for one run at a time (default: all)"
    )
    parser.add_argument(
        "--teraflops",
        metavar="X",
        type=float,
        help="TFLOP/s of a GPU for the estimate (default: 45, an H100 in the papers' precision)",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="Ray cluster for the runs ('local' starts one here)")


def _run(options: argparse.Namespace) -> int:
    from avf_training.distributed.environment import refuse_several_processes
    from avf_training.study.plan import StudyInputs, load_study, select_rows, study_matrix

    refuse_several_processes("study")
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs {options.jobs} must be at least 1")
    if options.teraflops is not None and not 0 < options.teraflops < math.inf:
        raise UserError(f"--teraflops {options.teraflops:g} must be above 0")
    require_replaceable(options.out / "report.html", PAGE)
    require_replaceable(options.out / "study.json", json_table("the results of a study", ("title", "rows", "compared")))
    study, starts = select_rows(load_study(options.study), options.rows), _start_models(options.models)
    shards = labelled_shards(options)
    inputs = StudyInputs(
        shards=options.shards,
        unlabelled=options.unlabelled,
        starts=starts,
        folds_of=_fold_counts(study, shards),
        overrides=options.set,
        device=options.device,
    )
    matrix = study_matrix(study, options.out, inputs)
    if not options.report:
        _report_overlap(shards)
    if options.dry_run:
        for line in _estimate(options, matrix.jobs, shards, _visible_gpus(options)):
            _LOG.info("%s", line)
        for job in matrix.jobs:
            print(f"{'done' if job.done.is_file() else 'to do':<7}{' '.join(job.argv)}")
        return 0
    failures = [] if options.report else _run_jobs(options, matrix, shards)
    _write_results(options, study, matrix, shards)
    for failure in failures:
        _LOG.error("failed: %s (status %s): %s", failure.job.name, failure.status, failure.message)
    return 1 if failures else 0


def _report_overlap(shards: Any) -> None:
    """Say what the corpora share before anything is trained on one and tested on another."""
    from avf_training.tasks.corpus_overlap import find_overlap

    for sentence in find_overlap(shards).sentences():
        _LOG.warning("%s", sentence)


def _fold_counts(study: Any, shards: Any) -> dict[str, int]:
    """Return the number of folds of each data set of the study."""
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.folds import make_folds
    from avf_training.tasks.labelled_clips import read_labelled_clips

    counts = {}
    for title in study.datasets:
        labelled = read_labelled_clips(shards, find_dataset(title))
        counts[title] = len(make_folds(labelled.data, labelled.clips))
    return counts


def _run_jobs(options: argparse.Namespace, matrix: Any, shards: Any) -> Any:
    """Say what is to do and how long it may take, do it, and return the failures."""
    from avf_training.study.launcher import fit_gpus, run_all
    from avf_training.trainer.run_folder import exclusive_lock

    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler that ends this process must end its runs too
    with exclusive_lock(options.out):
        gpus = [] if options.ray else _visible_gpus(options)
        launcher = _launcher(options, gpus)
        jobs = [fit_gpus(job, launcher.gpus) for job in matrix.jobs]
        for job, asked in zip(jobs, matrix.jobs, strict=True):
            if 0 < job.gpus < asked.gpus:
                _LOG.info("%s: on %d of the %d GPUs that the study asks for", job.name, job.gpus, asked.gpus)
        for line in _estimate(options, jobs, shards, gpus, launcher):
            _LOG.info("%s", line)
        return run_all(jobs, launcher, _LOG.info)


def _estimate(options: argparse.Namespace, jobs: Any, shards: Any, gpus: list[str], launcher: Any = None) -> list[str]:
    """Return the lines of the estimate.

    Args:
        launcher: that will run the jobs; None: each run has the GPUs that the study asks for, or what this machine has.
    """
    import torch

    from avf_training.models.config import Precision
    from avf_training.models.flops import peak_flops
    from avf_training.study.estimate import DEFAULT_TERAFLOPS, describe_estimate, estimate_study
    from avf_training.study.launcher import fit_gpus

    if launcher is not None:
        count = launcher.total_gpus
    else:
        # Without a GPU here, a study of runs on several GPUs is planned for another machine.
        asked = max((job.gpus for job in jobs), default=0)
        count = len(gpus) or (asked if asked > 1 or options.teraflops else 0)
        jobs = [fit_gpus(job, count) for job in jobs]
    slots = options.jobs or max(1, count)
    speed = options.teraflops or DEFAULT_TERAFLOPS
    if not count and not options.teraflops:
        speed = peak_flops(torch.device("cpu"), Precision(compute="fp32")).flops_per_s / 1e12 * _CPU_SHARE
    return describe_estimate(estimate_study(jobs, shards, gpus=count, slots=slots, teraflops=speed))


def _visible_gpus(options: argparse.Namespace) -> list[str]:
    """Return the GPUs of this machine that runs may use. Raises UserError."""
    import torch

    if options.gpus:
        names = [name.strip() for name in options.gpus.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise UserError(f"--gpus {options.gpus}: must be different GPUs, as in 0,1")
        return names
    if options.device == "cpu" or not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def _write_results(options: argparse.Namespace, study: Any, matrix: Any, shards: Any) -> None:
    from avf_shards.system import durable_io

    from avf_training.console.study_tables import print_study
    from avf_training.study.report import write_report
    from avf_training.study.results import comparisons, summary, summary_as_json

    compared = comparisons(study, matrix, shards)
    durable_io.make_folder(options.out)
    durable_io.replace_file(options.out / "study.json", summary_as_json(summary(study, matrix, compared)))
    page = write_report(study, matrix, compared, shards, options.out)
    with forgive_closed_output():
        print_study(study, matrix, compared, page)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _launcher(options: argparse.Namespace, gpus: list[str]) -> Any:
    """Return the launcher of runs: on this machine, or on a Ray cluster. Raises UserError."""
    from avf_training.study.launcher import LocalLauncher, RayLauncher

    if options.ray:
        launcher = RayLauncher(None if options.ray == "local" else options.ray, options.jobs)
        if options.device == "cuda" and not launcher.gpus:
            raise UserError(f"--device cuda: the Ray cluster {options.ray} has no GPU")
        return launcher
    return LocalLauncher(options.jobs or max(1, len(gpus)), gpus)


def _start_models(texts: list[str]) -> dict[str, Path]:
    """Return the models of words such as `base=MODEL`, by name. Raises UserError."""
    models = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UserError(f"--model {text}: must look like NAME=MODEL")
        models[name] = Path(path)
    return models
