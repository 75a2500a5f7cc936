"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError


def run_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a run as the first word."""
    parser.add_argument("folder", metavar="RUN", type=Path)


def open_run(options: argparse.Namespace) -> Any:
    """The run that the options name. Raises UserError."""
    from avf_shards.format.run_folder import RunFolder

    return RunFolder.existing(options.folder)


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights DIR`."""
    parser.add_argument(
        "--weights",
        metavar="DIR",
        type=Path,
        help="model files (default: $AVF_WEIGHTS or ~/.cache/avf-foundry/weights)",
    )


def weights_folder(options: argparse.Namespace) -> Path:
    """The folder of model files that the options name."""
    from avf_curation.detectors.weights import default_folder

    return options.weights or default_folder()


def engine_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where the work is done."""
    parser.add_argument("--engine", choices=("ray", "inline"), default="ray", help="inline: one process, to debug")
    parser.add_argument("--workers", type=int, metavar="N", help="Ray workers (default: the CPUs of the cluster)")
    parser.add_argument("--refiners", type=int, default=0, metavar="N", help="a pool of their own for stages 4 to 6")
    parser.add_argument(
        "--gpus-each", type=float, default=1.0, metavar="G", help="of a refiner, 0.25: four share one (default: 1)"
    )
    parser.add_argument("--address", metavar="ADDRESS", help="a Ray cluster to join (default: one is started here)")
    parser.add_argument("--device", default="cpu", help="device of RetinaFace and SyncNet: cpu, cuda (default: cpu)")
    parser.add_argument(
        "--start-timeout-s",
        type=float,
        default=600.0,
        metavar="S",
        help="end the run when no worker has started after S seconds (default: 600)",
    )
    parser.add_argument(
        "--min-free-gb", type=float, default=1.0, metavar="GB", help="stop before the disk has less (default: 1)"
    )


def source_options(parser: argparse.ArgumentParser) -> None:
    """Add what a run is made of."""
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=DIR", help="a folder of video; repeat for more sources"
    )
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run's folder; made if missing")
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="settings that differ from the default recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; repeat for more")
    parser.add_argument(
        "--score-all",
        metavar="SHARE",
        type=float,
        help="measure this share of the videos on past a rejection, for whatif and calibrate (gates.score_all)",
    )
    weights_option(parser)


def prepare(options: argparse.Namespace) -> Any:
    """Recipe, backends and sources of plan and run, all checked before any work."""
    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.plan import parse_sources

    sample = [] if options.score_all is None else [f"gates.score_all={options.score_all}"]
    recipe = load_recipe(options.recipe, [*options.set, *sample])
    sources = parse_sources(options.source)
    return recipe, resolve_backends(recipe, weights_folder(options)), sources


def run_curation(options: argparse.Namespace, recipe: Any, choice: Any, sources: Any) -> Any:
    """The run of these inputs where and how the options say, with a bar on the terminal."""
    from avf_curation.console.progress_bar import ProgressBar
    from avf_curation.runs.curate import curate

    with ProgressBar() as bar:
        return curate(
            recipe,
            choice,
            sources,
            options.out,
            engine=options.engine,
            cluster=cluster_config(options),
            min_free_gb=options.min_free_gb,
            device=options.device,
            retry_failed=getattr(options, "retry_failed", False),
            on_progress=bar,
        )


def cluster_config(options: argparse.Namespace) -> Any:
    """The Ray that the options ask for. Raises UserError."""
    from avf_curation.execution.cluster import ClusterConfig

    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers {options.workers}: at least 1")
    if options.refiners < 0 or options.gpus_each <= 0:
        raise UserError("--refiners: 0 or more; --gpus-each: above 0")
    if options.start_timeout_s <= 0:
        raise UserError(f"--start-timeout-s {options.start_timeout_s:g}: above 0")
    return ClusterConfig(
        address=options.address,
        workers=options.workers,
        refiners=options.refiners,
        gpus_each=options.gpus_each,
        start_timeout_s=options.start_timeout_s,
    )


def check_device(options: argparse.Namespace) -> None:
    """A device that this machine lacks is said before any work; a cluster's machines are their own."""
    from avf_curation.detectors.threads import cuda_available

    kind = options.device.split(":", 1)[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device {options.device}: cpu or cuda")
    if kind == "cuda" and not options.address and not cuda_available():
        raise UserError(f"--device {options.device}: torch finds no CUDA device here; use --device cpu")
