"""avf-curate estimate: what a run will cost and yield, from a sample that is curated."""

import argparse
import logging
from functools import partial
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.errors import UserError

from avf_curation.cli.options import (
    add_engine_options,
    add_pool_options,
    add_source_options,
    check_device,
    cluster_config,
    load_inputs,
    run_curation,
)

_LOG = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Add `estimate`."""
    parser = add_command(
        commands,
        "estimate",
        _run,
        help="Estimate core-hours, GPU-hours, storage and yield of a run from a curated sample, with intervals.",
        details="The sample is a run in the folder --out, which audit and review read. A sample that was stopped "
        "continues when the same command is started again.",
    )
    add_source_options(parser)
    add_engine_options(parser)
    add_pool_options(parser)
    parser.add_argument(
        "--sample",
        metavar="N",
        type=int,
        default=100,
        help="groups of videos or pictures of each source (default: %(default)s)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the sample (default: %(default)s)")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.console.run_tables import print_estimate
    from avf_curation.console.terminal import make_console
    from avf_curation.runs.cost_estimate import estimate_cost, one_group_per_unit, remembered_totals
    from avf_curation.runs.plan import parse_sources
    from avf_curation.sources.registry import load_recipe_for

    # Before the settings of the sample, which would hide a fault in those that they replace.
    recipe = load_recipe_for(parse_sources(options.source), options.recipe, options.set)
    settings = one_group_per_unit(options.set, recipe.sources)
    options = argparse.Namespace(**vars(options) | {"set": settings})
    cluster_config(options)  # refuses impossible values before models are looked for and inputs are listed
    inputs = load_inputs(options)
    check_device(options)
    _plan_sample(options, inputs)
    totals = remembered_totals(options.out)
    if totals is None:
        raise UserError(
            f"--out {options.out}: holds a run that `estimate` did not start (no log/estimate.json); use another folder"
        )
    _LOG.info("curating the sample in %s", options.out)
    run = run_curation(options, *inputs)
    estimate = estimate_cost(run, totals, options.device != "cpu", options.seed)
    if not write_answer(options, estimate.as_json()):
        print_estimate(make_console(), estimate, inputs[0].content)
    return 0


def _plan_sample(options: argparse.Namespace, inputs: Any) -> None:
    """Freeze a run of the sampled videos, and write the totals of all videos beside it."""
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.format.run_folder import RunFolder

    from avf_curation.runs.cost_estimate import sample_groups, totals_of, write_totals
    from avf_curation.runs.planning import InputChoice, plan_run

    draw = partial(sample_groups, sample=options.sample, seed=options.seed)

    def select(videos: list[Any]) -> list[Any]:
        write_totals(RunFolder(options.out), totals_of(videos))
        return draw(videos)

    recipe, backends, sources = inputs
    plan_run(
        recipe,
        backends,
        sources,
        options.out,
        device=options.device,
        choice=InputChoice(
            allow_unreadable=options.allow_unreadable,
            follow_symlinks=options.follow_symlinks,
            deny=read_deny_files(options.deny),
            select=select,
        ),
    )
