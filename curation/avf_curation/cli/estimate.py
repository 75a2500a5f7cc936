"""What a run will cost, before it is begun."""

import argparse
import sys
from functools import partial
from typing import Any

from avf_shards.cli.common import json_option, write_answer
from avf_shards.errors import UserError

from avf_curation.cli.options import check_device, cluster_config, engine_options, prepare, run_curation, source_options


def add(commands: Any) -> None:
    """Add the command."""
    one = commands.add_parser(
        "estimate",
        help="curate a seeded sample; core-hours, GPU-hours, storage and yield of all, with intervals",
        description="The sample is a run of its own in --out, which audit and review read; killed, it goes on.",
    )
    source_options(one)
    engine_options(one)
    one.add_argument("--sample", type=int, default=100, metavar="N", help="groups of each source (default 100)")
    one.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    json_option(one)
    one.set_defaults(run=_estimate)


def _estimate(options: argparse.Namespace) -> int:
    from avf_shards.format.run_folder import RunFolder

    from avf_curation.console.run_tables import print_estimate
    from avf_curation.console.tables import make_console
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.cost_estimate import (
        estimate_cost,
        one_parent_per_unit,
        remembered_totals,
        sample_groups,
        totals_of,
        write_totals,
    )
    from avf_curation.runs.curate import plan_run
    from avf_curation.sources.types import Video

    named = load_recipe(options.recipe, options.set).sources
    options.set = one_parent_per_unit(options.set, named)
    cluster_config(options)  # says now what it cannot be
    recipe, choice, sources = prepare(options)
    check_device(options)
    draw = partial(sample_groups, sample=options.sample, seed=options.seed)

    def chosen(videos: list[Video]) -> list[Video]:
        write_totals(RunFolder(options.out), totals_of(videos))
        return draw(videos)

    plan_run(recipe, choice, sources, options.out, device=options.device, chosen=chosen)
    totals = remembered_totals(options.out)
    if totals is None:
        raise UserError(f"--out {options.out}: not begun by estimate (no log/estimate.json); use another folder")
    print(f"avf-curate: curating the sample in {options.out}", file=sys.stderr)
    run = run_curation(options, recipe, choice, sources)
    found = estimate_cost(run, totals, options.device != "cpu", options.seed)
    if not write_answer(options, found.as_json()):
        print_estimate(make_console(), found)
    return 0
