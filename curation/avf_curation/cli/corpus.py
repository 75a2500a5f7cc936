"""What a corpus is made of: sources, hybrid, card."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer
from avf_shards.errors import UserError

from avf_curation.cli.options import open_run, run_argument


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("sources", help="the corpora that are read as their owners lay them out")
    verbs = one.add_subparsers(required=True, metavar="ls|check")
    verb = verbs.add_parser("ls", help="their names and layouts")
    json_option(verb)
    verb.set_defaults(run=_sources_ls)
    verb = verbs.add_parser("check", help="what is there of a corpus and what is not: missing, duplicate, bad rows")
    verb.add_argument("sources", metavar="NAME=DIR", nargs="+")
    json_option(verb)
    verb.set_defaults(run=_sources_check)

    one = commands.add_parser(
        "hybrid",
        help="what the recipe's quotas take of a finished run, and its shards",
        description="Another quota packs again and touches no video. avf-shards pack is the same with a TOML file.",
    )
    run_argument(one)
    one.add_argument("--recipe", metavar="FILE", type=Path, default=Path("hybrid"), help="with a table `hybrid`")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="hybrid.sources.cncvs.quota=9000")
    one.add_argument("--out", metavar="SHARDS", type=Path, help="folder for the shards; made if missing")
    one.add_argument("--dry-run", action="store_true", help="only say what would be taken")
    json_option(one)
    one.set_defaults(run=_hybrid)

    one = commands.add_parser("card", help="the data card of packed shards, for people and as Croissant metadata")
    one.add_argument("folder", metavar="SHARDS", type=Path)
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="DATA_CARD.md and croissant.json go there")
    one.add_argument("--name", default="talking-faces", help="of the corpus (default: talking-faces)")
    one.add_argument("--licence", metavar="SOURCE=TEXT", action="append", default=[], help="of a source; repeat")
    one.add_argument("--url", help="where the shards will lie")
    one.add_argument("--published", metavar="YYYY-MM-DD", help="the day")
    one.set_defaults(run=_card)


def _sources_ls(options: argparse.Namespace) -> int:
    from avf_curation.sources.registry import CORPORA

    told = {one.name: {"layout": one.layout, "about": one.about, "labelled": one.labelled} for one in CORPORA}
    if not write_answer(options, told):
        for one in CORPORA:
            print(f"{one.name:<12}{one.layout}")
        print("any other name is a plain folder: every file below it is an input; with a labels.csv it is labelled")
    return 0


def _sources_check(options: argparse.Namespace) -> int:
    from avf_curation.console.run_tables import print_source_check
    from avf_curation.console.tables import make_console
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.plan import parse_sources
    from avf_curation.sources.registry import check_source

    recipe = load_recipe()
    sources = parse_sources(options.sources)
    found = [check_source(name, root, recipe.of(name).plan) for name, root in sources.items()]
    if not write_answer(options, [asdict(one) | {"kinds": one.kinds} for one in found]):
        for one in found:
            print_source_check(make_console(), one)
    return 0


def _card(options: argparse.Namespace) -> int:
    from datetime import date

    from avf_curation.reports.data_card import CARD, CROISSANT, read_card, write_card

    licences = {}
    for text in options.licence:
        source, equals, licence = text.partition("=")
        if not (source and equals and licence.strip()):
            raise UserError(f"--licence {text}: expected SOURCE=TEXT, as in --licence voxceleb2=CC-BY-4.0")
        licences[source] = licence.strip()
    try:
        published = date.fromisoformat(options.published) if options.published else None
    except ValueError:
        raise UserError(f"--published {options.published}: expected a day as 2026-01-31") from None
    write_card(read_card(options.folder, options.name, licences), options.out, options.url, published)
    for name in (CARD, CROISSANT):
        print(options.out / name)
    return 0


def _hybrid(options: argparse.Namespace) -> int:
    from avf_shards.cli.selection_table import print_selection
    from avf_shards.packing.pack import pack_shards, select_from_run

    from avf_curation.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.set)
    if recipe.hybrid is None:
        raise UserError(f"--recipe {options.recipe}: no table `hybrid` in it; curation/recipes/hybrid.yaml has one")
    if options.out is None and not options.dry_run:
        raise UserError("--out SHARDS is missing; --dry-run needs none")
    run = open_run(options)
    if options.dry_run:
        choice = select_from_run(run, recipe.hybrid)[1]
    else:
        choice = pack_shards(run, options.out, recipe.hybrid)
    values, table = print_selection(choice, None if options.dry_run else options.out)
    if not write_answer(options, values):
        print(table)
    return 0
