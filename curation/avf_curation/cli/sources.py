"""avf-curate sources: the corpora whose own layout is read, and what a copy of them lacks."""

import argparse
import logging
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, write_answer

from avf_curation.cli.options import add_follow_option

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Add `sources` with `ls` and `check`."""
    verbs = add_command_group(
        commands, "sources", help="List the corpora whose own layout is read, or check a copy of one."
    )
    verb = add_command(verbs, "ls", _run_ls, help="List the names and layouts of the known corpora.")
    add_json_option(verb)
    verb = add_command(
        verbs,
        "check",
        _run_check,
        help="Check copies of corpora: missing videos and pictures, duplicates, rows that cannot be read.",
    )
    verb.add_argument("sources", metavar="NAME=DIR", nargs="+", help="name of a corpus and folder of the copy")
    add_follow_option(verb)
    add_json_option(verb)


def _run_ls(options: argparse.Namespace) -> int:
    from avf_curation.sources.own_corpora import CORPORA
    from avf_curation.sources.pictures.registry import ADDED_PICTURES, PICTURE_CORPORA, added_pictures
    from avf_curation.sources.plugins import SOURCES, list_plugins, plugin_reader

    own = [*(each.name for each in CORPORA), *(each.name for each in PICTURE_CORPORA)]
    added, faults = list_plugins(SOURCES, own, plugin_reader)
    added_of_pictures, more_faults = list_plugins(ADDED_PICTURES, own, added_pictures)
    values = {
        corpus.name: {
            "layout": corpus.layout,
            "about": corpus.about,
            "labelled": corpus.labelled,
            "inputs": inputs,
        }
        for inputs, corpora in (("videos", (*CORPORA, *added)), ("pictures", (*PICTURE_CORPORA, *added_of_pictures)))
        for corpus in corpora
    }
    packages = {reader.name: reader.package for reader in added}
    packages |= {reader.name: reader.package for reader in added_of_pictures}
    for name, package in packages.items():
        values[name]["package"] = package
    for fault in (*faults, *more_faults):
        log.warning("%s", fault)
    if not write_answer(options, values):
        for corpus in CORPORA:
            print(f"{corpus.name:<18}{corpus.layout}")
        for reader in added:
            print(f"{reader.name:<18}{reader.layout} ({reader.package})")
        print("corpora of pictures, and folders of your own pictures:")
        for pictures in PICTURE_CORPORA:
            print(f"{pictures.name:<18}{pictures.layout}")
        for added_corpus in added_of_pictures:
            print(f"{added_corpus.name:<18}{added_corpus.layout} ({added_corpus.package})")
        print(
            "any other name is a plain folder: all video and audio below it is input, or all pictures with --recipe "
            "pictures; with a labels.csv it is labelled"
        )
    return 0


def _run_check(options: argparse.Namespace) -> int:
    from avf_curation.console.run_tables import print_picture_check, print_source_check
    from avf_curation.console.terminal import make_console
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.plan import parse_sources
    from avf_curation.sources.pictures.registry import PictureCheck, check_pictures, picture_reader
    from avf_curation.sources.source_check import SourceCheck, check_source

    recipe = load_recipe()
    checks: list[SourceCheck | PictureCheck] = []
    sources = parse_sources(options.sources)
    for name, root in sources.items():
        reader = picture_reader(name)
        if reader is not None:
            checks.append(check_pictures(reader, root, follow_symlinks=options.follow_symlinks))
        else:
            plan = recipe.settings_for(name).plan
            checks.append(check_source(name, root, plan, follow_symlinks=options.follow_symlinks))
    for check in checks:
        inputs, noun = (check.pictures, "picture") if isinstance(check, PictureCheck) else (check.videos, "video")
        if not inputs:
            log.warning("source %s: no %s in %s", check.source, noun, sources[check.source])
    if not write_answer(options, [asdict(check) | {"kinds": check.kinds} for check in checks]):
        for check in checks:
            if isinstance(check, PictureCheck):
                print_picture_check(make_console(), check)
            else:
                print_source_check(make_console(), check)
    return 0
