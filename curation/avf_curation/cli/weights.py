"""avf-curate weights: list, download and verify the model files that stages use."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, set_completer, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path

from avf_curation.cli.options import add_weights_option, weights_folder


def add(commands: Any) -> None:
    """Add `weights` with `ls`, `pull` and `verify`."""
    verbs = add_command_group(commands, "weights", help="List, download or verify the model files that stages use.")
    verb = add_command(verbs, "ls", _run_ls, help="List the known model files, and which of them are present.")
    add_weights_option(verb)
    add_json_option(verb)
    verb = add_command(
        verbs, "pull", _run_pull, help="Get a model file from its owner's address, a mirror, or a file on this machine."
    )
    name = verb.add_argument(
        "name", metavar="NAME", help="name of the model file, as `avf-curate weights ls` prints it"
    )
    set_completer(name, _known_names)
    verb.add_argument("--from", dest="file", metavar="FILE", type=local_path, help="copy this file instead")
    verb.add_argument("--address", metavar="URL", help="download from this mirror instead")
    add_weights_option(verb)
    verb = add_command(
        verbs,
        "verify",
        _run_verify,
        help="Check the digests of the model files that are present; exit status 2 for a wrong one.",
    )
    add_weights_option(verb)
    add_json_option(verb)


def _known_names() -> list[str]:
    from avf_curation.detectors.weights import KNOWN

    return list(KNOWN)


def _run_ls(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import KNOWN

    folder = weights_folder(options)
    rows = [
        {
            "name": entry.name,
            "here": (folder / entry.file_name).is_file(),
            "file": entry.file_name,
            "sha256": entry.sha256_prefix,
            "licence": entry.licence,
            "address": entry.address,
        }
        for entry in KNOWN.values()
    ]
    if not write_answer(options, {"folder": str(folder), "weights": rows}):
        print(f"in {folder}:")
        for row in rows:
            print(f"  {row['name']:<22}{'here' if row['here'] else 'not here':<10}{row['licence']}")
            print(f"    {row['file']}, sha256 {str(row['sha256'])[:16]}, {row['address']}")
    return 0


def _run_pull(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import pull_weights

    with progress_line() as show:
        path = pull_weights(
            options.name,
            weights_folder(options),
            options.file,
            options.address,
            lambda done, total: show(f"{done / 1e6:.1f} of {(total or 0) / 1e6:.1f} MB"),
        )
    print(path)
    return 0


def _run_verify(options: argparse.Namespace) -> int:
    from avf_curation.detectors.weights import KNOWN, find_weight

    folder = weights_folder(options)
    present = {name: find_weight(name, folder) is not None for name in KNOWN}
    if not write_answer(options, present):
        for name, is_present in present.items():
            print(f"{name:<22}{'as published' if is_present else 'not here'}")
    return 0
