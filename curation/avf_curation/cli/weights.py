"""Model files: list, get, check."""

import argparse
import sys
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer

from avf_curation.cli.options import weights_folder, weights_option


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("weights", help="model files: list, get, check")
    verbs = one.add_subparsers(required=True, metavar="ls|pull|verify")
    verb = verbs.add_parser("ls", help="what is known and what is here")
    weights_option(verb)
    json_option(verb)
    verb.set_defaults(run=_weights_ls)
    verb = verbs.add_parser("pull", help="get one from its owner's address, or from a file you have")
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("--from", dest="take_from", metavar="PATH", type=Path, help="a file you have")
    verb.add_argument("--address", metavar="URL", help="a mirror")
    weights_option(verb)
    verb.set_defaults(run=_weights_pull)
    verb = verbs.add_parser("verify", help="check the digests of what is here; exit 2 when one is wrong")
    weights_option(verb)
    json_option(verb)
    verb.set_defaults(run=_weights_verify)


def _weights_ls(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import KNOWN

    folder = weights_folder(options)
    rows = [
        {
            "name": entry.name,
            "here": (folder / entry.file_name).is_file(),
            "file": entry.file_name,
            "sha256": entry.sha256_prefix or "none published: first one seen is recorded",
            "licence": entry.licence,
            "address": entry.address,
        }
        for entry in KNOWN.values()
    ]
    if not write_answer(options, {"folder": str(folder), "weights": rows}):
        print(f"in {folder}:")
        for row in rows:
            print(f"  {row['name']:<22}{'here' if row['here'] else 'not here':<10}{row['licence']}")
            print(f"    {row['file']}, sha256 {str(row['sha256'])[:24]}, {row['address']}")
    return 0


def _weights_pull(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import pull_weights

    terminal = sys.stderr.isatty()

    def progress(done: int, total: int | None) -> None:
        if terminal:
            print(f"\r{done / 1e6:.1f} of {(total or 0) / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)

    path = pull_weights(options.name, weights_folder(options), options.take_from, options.address, progress)
    print(path)
    return 0


def _weights_verify(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import KNOWN, find_weight

    folder = weights_folder(options)
    here = {name: find_weight(name, folder) is not None for name in KNOWN}
    if not write_answer(options, here):
        for name, found in here.items():
            print(f"{name:<22}{'as published or first seen' if found else 'not here'}")
    return 0
