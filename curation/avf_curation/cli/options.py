"""Options that several commands of avf-curate share, and the objects that they describe."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from avf_shards.cli.common import set_completer
from avf_shards.cli.options import add_deny_option
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.cli.standard_output import forgive_closed_output
from avf_shards.errors import UserError

from avf_curation.execution.limits import DEFAULT_MAX_FAULT_SHARE

RECIPES = Path(__file__).parents[1] / "recipes"

STOPPED_BETWEEN_UNITS = "stopped; finished units are saved, and the same command continues after them"
"""Message after Ctrl-C of a command that curates."""


def add_run_argument(parser: argparse.ArgumentParser, parse: Callable[[str], Path] = local_path) -> None:
    """Add the folder of a run as the first word, which `parse` reads."""
    parser.add_argument("folder", metavar="RUN", type=parse, help="folder of a run")


def open_run(options: argparse.Namespace) -> Any:
    """Return the run that the options name. Raises UserError."""
    from avf_shards.format.run_folder import RunFolder
    from avf_shards.system.arrow_start import keep_pandas_out

    keep_pandas_out()
    return RunFolder.open_existing(options.folder)


def require_videos(run: Any, instead: str) -> None:
    """Raise UserError for a run of pictures; `instead` says what serves there."""
    if run.identity().content == "pictures":
        raise UserError(f"{run.root}: is a run of pictures, and this command shows videos; {instead}")


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights DIR`."""
    parser.add_argument(
        "--weights",
        metavar="DIR",
        type=local_path,
        help="folder of model files (default: $AVF_WEIGHTS, or ~/.cache/avf-foundry/weights)",
    )


def weights_folder(options: argparse.Namespace) -> Path:
    """Return the folder of model files that the options name."""
    from avf_curation.detectors.weights import default_weights_folder

    return options.weights or default_weights_folder()


def add_inputs_option(parser: argparse.ArgumentParser) -> None:
    """Add `--source NAME=DIR` for inputs that lie elsewhere than at the start of the run."""
    parser.add_argument(
        "--source",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="folder where the videos or pictures of a source are now; repeat for more (default: as in the run)",
    )


def input_folders(options: argparse.Namespace, run: Any) -> dict[str, Path]:
    """Return source -> folder of its videos: as in the run, but for sources that `--source` names.

    Raises UserError for a folder that is missing and for a source that the run does not have.
    """
    from avf_curation.runs.identity import remembered_roots
    from avf_curation.runs.plan import parse_sources

    named = parse_sources(options.source) if options.source else {}
    sources = run.identity().sources
    for name in named:
        if name not in sources:
            raise UserError(f"--source {name}: no source of {run.root}; the run has {', '.join(sources)}")
    return remembered_roots(run) | named


def add_set_option(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--set KEY=VALUE`, which may be repeated."""
    action = parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=help)
    set_completer(action, _settings)


def _settings() -> list[str]:
    """Return each setting of the default recipe with its value, as --set takes it."""
    from avf_shards.settings.config import flatten

    from avf_curation.recipe import load_recipe

    return [f"{name}={value}" for name, value in flatten(load_recipe().values).items()]


def add_recipe_option(parser: argparse.ArgumentParser, help: str, default: Path | None = None) -> None:
    """Add `--recipe NAME|FILE`, whose names a shell completes."""
    action = parser.add_argument("--recipe", metavar="NAME|FILE", type=local_path, default=default, help=help)
    set_completer(action, lambda: [path.stem for path in RECIPES.glob("*.yaml")])


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the work is done: engine, number of workers, cluster."""
    parser.set_defaults(stopped=STOPPED_BETWEEN_UNITS)
    parser.add_argument(
        "--engine",
        choices=("ray", "inline"),
        default="ray",
        help="ray: worker processes; inline: this process alone, for debugging (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, help="number of Ray workers (default: one for each CPU of the cluster)"
    )
    parser.add_argument("--address", metavar="ADDRESS", help="Ray cluster to join (default: start one on this machine)")
    parser.add_argument(
        "--max-fault-share",
        metavar="SHARE",
        type=float,
        default=DEFAULT_MAX_FAULT_SHARE,
        help="stop when a larger share of the videos or pictures of a source, of a machine or of the run, at least 5 "
        "of at least 20, or most of fewer than 20, fail for one reason that is not the file's: missing files, crashes, "
        "errors of the program; 1 never stops (default: %(default)g)",
    )
    parser.add_argument(
        "--fail-unreadable",
        action="store_true",
        help="let an input fail that cannot be read in any of three tries; without this option its unit stays "
        "undecided, and the command stops with its path when all others are done",
    )


def add_pool_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run on a cluster: a second pool, GPUs, limits."""
    parser.add_argument(
        "--refiners",
        metavar="N",
        type=int,
        default=0,
        help="workers of a second pool, for the stages from `track` on (default: 0, one pool does all)",
    )
    parser.add_argument(
        "--gpus-per-refiner",
        metavar="G",
        type=float,
        default=1.0,
        help="GPUs of each worker that uses one; with 0.25 four workers share a GPU (default: %(default)g)",
    )
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="cpu",
        help="auto, cuda or cpu, for RetinaFace, SyncNet and LR-ASD; auto: cuda where this machine has it "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--start-timeout-s",
        metavar="S",
        type=float,
        default=600.0,
        help="end the run when no worker has started after S seconds (default: %(default)g)",
    )
    parser.add_argument(
        "--min-free-gb",
        metavar="GB",
        type=float,
        default=1.0,
        help="stop when the disk has fewer gigabytes free (default: %(default)g)",
    )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a run is made of: sources, recipe, settings, folder."""
    parser.add_argument(
        "--source",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="a folder of videos, or of pictures, and the name of the source; repeat for more sources",
    )
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    add_recipe_option(parser, "settings that differ from the default recipe: a file, or the name of a recipe of ours")
    add_set_option(parser, "one setting, as in --set sync.min_confidence=4; repeat for more")
    for name, effect in (("include", "take only inputs that match"), ("exclude", "leave out inputs that match")):
        parser.add_argument(
            f"--{name}",
            metavar="GLOB",
            action="append",
            default=[],
            help=f"{effect} the pattern, or lie in a folder that does; a pattern with a slash is a path below the "
            f"source's folder; repeat for more (default: the recipe's plan.{name})",
        )
    parser.add_argument(
        "--score-all",
        metavar="SHARE",
        type=float,
        help="share of the videos or pictures, 0 to 1, that are measured on after a rejection, for what-if and "
        "calibrate "
        "(default: the recipe's gates.score_all)",
    )
    parser.add_argument(
        "--allow-unreadable",
        action="store_true",
        help="plan without folders that cannot be read, and count them; without this option they stop the plan",
    )
    add_follow_option(parser)
    add_deny_option(parser)
    add_weights_option(parser)


def add_follow_option(parser: argparse.ArgumentParser) -> None:
    """Add `--follow-symlinks`."""
    parser.add_argument(
        "--follow-symlinks",
        action="store_true",
        help="follow links that lead out of a source's folder; without this option they are counted and named as "
        "skipped. Links inside the folder are always followed",
    )


def load_inputs(options: argparse.Namespace) -> Any:
    """Return recipe, model selection and sources of a new run. Raises UserError before any work is done."""
    from avf_shards.system.arrow_start import keep_pandas_out

    from avf_curation.audit.unused_settings import warn_about_unused_settings
    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.recipe import read_source_names
    from avf_curation.runs.plan import parse_sources
    from avf_curation.sources.registry import load_recipe_for, warn_about_unread_corpora

    keep_pandas_out()
    score_all = [] if options.score_all is None else [f"gates.score_all={options.score_all}"]
    named = read_source_names(options.recipe, options.set) if options.include or options.exclude else []
    sources = parse_sources(options.source)
    recipe = load_recipe_for(sources, options.recipe, [*options.set, *score_all, *_glob_settings(options, named)])
    if recipe.content == "pictures" and vars(options).get("refiners"):
        raise UserError("--refiners: a picture is decoded once, so a run of pictures has one pool; use --workers alone")
    warn_about_unread_corpora(recipe, sources)
    backends = resolve_backends(recipe, weights_folder(options))
    warn_about_unused_settings(recipe, sources, backends.names())
    return recipe, backends, sources


def _glob_settings(options: argparse.Namespace, named: Iterable[str]) -> list[str]:
    """Return the settings that --include and --exclude stand for, of all sources and of those that a recipe names."""
    settings = []
    for name, globs in (("plan.include", options.include), ("plan.exclude", options.exclude)):
        if globs:
            settings += [f"{prefix}{name}={json.dumps(globs)}" for prefix in ("", *(f"sources.{s}." for s in named))]
    return settings


def run_curation(options: argparse.Namespace, recipe: Any, backends: Any, sources: Any) -> Any:
    """Curate the sources as the options say, with a progress bar, and return the run."""
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.deletion.unmatched import warn_unmatched

    from avf_curation.console.progress_bar import ProgressBar
    from avf_curation.runs.curation import RunOptions, curate

    deny = read_deny_files(options.deny)
    with ProgressBar() as bar:
        run = curate(
            recipe,
            backends,
            sources,
            options.out,
            RunOptions(
                engine=options.engine,
                cluster=cluster_config(options),
                max_fault_share=options.max_fault_share,
                fail_unreadable=options.fail_unreadable,
                min_free_gb=options.min_free_gb,
                allow_unreadable=options.allow_unreadable,
                follow_symlinks=options.follow_symlinks,
                deny=deny,
                device=options.device,
            ),
            on_progress=bar,
        )
    if options.deny:
        warn_unmatched(options.deny, run.ledger())
    return run


def print_funnel(options: argparse.Namespace, run: Any) -> int:
    """Print the funnel of a run, or write it as JSON, and return the exit status: 1 where clips are unaccounted for."""
    from avf_shards.cli.common import write_answer

    from avf_curation.audit.funnel import summarize_run
    from avf_curation.console.audit_tables import print_audit
    from avf_curation.console.terminal import make_console

    summary = summarize_run(run)
    with forgive_closed_output():
        if not write_answer(options, summary.as_json()):
            print_audit(make_console(), summary)
    return 1 if summary.accounting_errors else 0


def check_engine_options(options: argparse.Namespace) -> None:
    """Raise UserError for a value of an option of `add_engine_options` that is out of range."""
    if not 0 <= options.max_fault_share <= 1:
        raise UserError(f"--max-fault-share {options.max_fault_share:g} must be between 0 and 1")
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers {options.workers} must be at least 1")
    if options.address and options.engine == "ray":  # before Ray and the detectors are loaded
        from avf_curation.execution.cluster import connect_port, describe_lost_address

        try:
            connect_port(options.address)
        except ConnectionError as error:
            raise UserError(describe_lost_address(options.address, str(error))) from None


def cluster_config(options: argparse.Namespace) -> Any:
    """Return the Ray cluster that the options ask for. Raises UserError."""
    from avf_curation.execution.cluster import ClusterConfig

    check_engine_options(options)
    if options.refiners < 0:
        raise UserError(f"--refiners {options.refiners} must not be below 0")
    if options.gpus_per_refiner <= 0:
        raise UserError(f"--gpus-per-refiner {options.gpus_per_refiner:g} must be above 0")
    if options.start_timeout_s <= 0:
        raise UserError(f"--start-timeout-s {options.start_timeout_s:g} must be above 0")
    return ClusterConfig(
        address=options.address,
        workers=options.workers,
        refiners=options.refiners,
        gpus_per_worker=options.gpus_per_refiner,
        start_timeout_s=options.start_timeout_s,
    )


def check_device(options: argparse.Namespace) -> None:
    """Set the device of the options to one that can be had. Raises UserError for a device that this machine lacks.

    The device is part of a run's identity, since its verdicts may depend on it. The machines of a cluster are not
    asked, so auto asks for a decision there.
    """
    kind = options.device.split(":", 1)[0]
    if kind not in ("auto", "cuda", "mps", "cpu"):
        raise UserError(f"--device {options.device}: invalid choice (choose from auto, cuda, mps, cpu)")
    if kind == "mps":
        raise UserError(
            "--device mps: whether the networks of curation give the same verdicts on Apple's GPU was never measured; "
            "take cpu"
        )
    if kind == "auto" and options.address:
        raise UserError("--device auto: asks this machine, and the work is done on a cluster; take cuda or cpu")
    if kind == "auto":
        options.device = "cuda" if _has_cuda() else "cpu"
    elif kind == "cuda" and not options.address and not _has_cuda():
        raise UserError(f"--device {options.device}: torch finds no CUDA device on this machine; use --device cpu")


def _has_cuda() -> bool:
    """Return whether torch, where it is installed, can use a CUDA device of this machine."""
    from avf_curation.detectors.threads import cuda_available

    try:
        return cuda_available()
    except ModuleNotFoundError:  # the embedded detectors need no torch
        return False
