"""avf-train study: a matrix of runs, and its page."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avf_shards import durable_io
from avf_shards.errors import UserError


def add_commands(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add it to avf-train's parser."""
    one = command(
        commands, "study", "a matrix of runs: models x data sets x folds x seeds; the same line goes on", _study
    )
    one.add_argument("study", metavar="STUDY|FILE", help="of training/recipes/study, or a file of yours")
    one.add_argument(
        "--shards", metavar="SHARDS", action="append", required=True, help="labelled; again for each corpus"
    )
    one.add_argument("--unlabelled", metavar="SHARDS", action="append", default=[], help="for rows that pre-train")
    one.add_argument("--start", metavar="NAME=MODEL", action="append", default=[], help="models that rows start from")
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the study; made if missing")
    one.add_argument("--set", metavar="[STAGE:]KEY=VALUE", action="append", default=[], help="field of all recipes")
    one.add_argument("--jobs", metavar="N", type=int, default=1, help="runs at once on this machine (default 1)")
    one.add_argument("--gpus", metavar="0,1,...", help="GPUs of this machine, one run on each")
    one.add_argument("--ray", metavar="ADDRESS", help="spread over a Ray cluster (`local` starts one here)")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    one.add_argument("--plan", action="store_true", help="say which runs there are, and stop")
    one.add_argument("--report", action="store_true", help="write the page of what is done, and run nothing")


def _study(options: argparse.Namespace) -> int:
    from avf_training.console.study_tables import print_study
    from avf_training.data.storage import StorageConfig
    from avf_training.study.launcher import run_all
    from avf_training.study.plan import StudyInputs, load_study, study_matrix
    from avf_training.study.report import write_report
    from avf_training.study.results import summary, write_summary
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.folds import make_folds
    from avf_training.tasks.labelled_clips import read_labelled_clips
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.trainer.run_folder import exclusive_lock

    study, starts = load_study(options.study), _starts(options.start)
    shelf = LabelledShards(options.shards, StorageConfig())
    folds = {}
    for title in study.datasets:
        found = read_labelled_clips(shelf, find_dataset(title))
        folds[title] = len(make_folds(found.data, found.clips))
    inputs = StudyInputs(
        shards=options.shards,
        unlabelled=options.unlabelled,
        starts=starts,
        folds_of=folds,
        overrides=options.set,
        device=options.device,
    )
    made = study_matrix(study, options.out, inputs)
    if options.plan:
        for job in made.jobs:
            print(f"{'done' if job.done.is_file() else 'to do':<7}{' '.join(job.argv)}")
        return 0
    failures = []
    if not options.report:
        signal.signal(signal.SIGTERM, _stopped)  # a scheduler's end of the job is an end of its runs
        with exclusive_lock(options.out):
            failures = run_all(made.jobs, _place(options), _say)
    durable_io.make_folder(options.out)
    values = summary(study, made)
    durable_io.replace_file(options.out / "study.json", write_summary(values))
    page = write_report(study, made, shelf, options.out)
    print_study(study, made, page)
    for failure in failures:
        print(f"failed: {failure.job.name} (status {failure.status}): {failure.said}", file=sys.stderr)
    return 1 if failures else 0


def _stopped(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"avf-train: {text}", file=sys.stderr, flush=True)


def _place(options: argparse.Namespace) -> Any:
    from avf_training.study.launcher import LocalMachine, RayCluster

    if options.jobs < 1:
        raise UserError(f"--jobs {options.jobs} must be at least 1")
    if options.ray:
        address = None if options.ray == "local" else options.ray
        return RayCluster(address, 1.0 if options.device == "cuda" else 0.0, 1.0, options.jobs)
    return LocalMachine(options.jobs, options.gpus.split(",") if options.gpus else ())


def _starts(given: list[str]) -> dict[str, Path]:
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name:
            raise UserError(f"--start {text}: is not NAME=MODEL")
        found[name] = Path(path)
    return found
