"""avf-curate hybrid: pack what the quotas of a recipe select from a finished run."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_deny_option
from avf_shards.cli.paths import output_folder
from avf_shards.errors import UserError

from avf_curation.cli.options import add_recipe_option, add_run_argument, add_set_option, open_run


def add(commands: Any) -> None:
    """Add `hybrid`."""
    parser = add_command(
        commands,
        "hybrid",
        _run,
        help="Pack what the quotas of a recipe select from a finished run.",
        details="Another quota packs again and reads no video. `avf-shards pack --select FILE` does the same with "
        "a file in TOML.",
    )
    add_run_argument(parser)
    add_recipe_option(parser, "recipe with a table `hybrid` (default: %(default)s)", Path("hybrid"))
    add_set_option(parser, "one setting, as in --set hybrid.sources.cncvs.quota=9000; repeat for more")
    parser.add_argument("--out", metavar="SHARDS", type=output_folder, help="folder for the shards; made if missing")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be packed")
    add_deny_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.cli.selection_table import describe_selection
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.deletion.unmatched import warn_unmatched
    from avf_shards.packing.pack import pack_shards, select_from_run

    from avf_curation.sources.registry import load_recipe_for, warn_about_unread_corpora

    run = open_run(options)
    sources = run.identity().sources
    recipe = load_recipe_for(sources, options.recipe, options.set)
    warn_about_unread_corpora(recipe, sources)
    if recipe.hybrid is None:
        raise UserError(
            f"--recipe {options.recipe}: has no table `hybrid`; curation/recipes/hybrid.yaml shows what it looks like"
        )
    if options.out is None and not options.dry_run:
        raise UserError("--out SHARDS is missing; only --dry-run works without it")
    deny = read_deny_files(options.deny)
    if options.deny:
        warn_unmatched(options.deny, run.ledger())
    if options.dry_run:
        print_answer(options, *describe_selection(select_from_run(run, recipe.hybrid, deny)[1], None))
    else:
        result = pack_shards(run, options.out, recipe.hybrid, deny=deny)
        print_answer(options, *describe_selection(result, options.out))
    return 0
