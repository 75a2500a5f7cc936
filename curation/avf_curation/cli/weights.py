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


_OWN_HEAD = "sync_head"  # the network of learn-sync, which is nobody's to pull


def _known_names() -> list[str]:
    from avf_curation.detectors.weights import KNOWN

    return list(KNOWN)


def _run_ls(options: argparse.Namespace) -> int:
    from avf_curation.detectors.sync_head_file import HEAD_FILE
    from avf_curation.detectors.weights import KNOWN, is_weight_file, short_digest

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
    path = folder / HEAD_FILE
    own = {"file": path.name, "sha256": short_digest(path)} if is_weight_file(path) else None
    if not write_answer(options, {"folder": str(folder), "weights": rows, "sync_head": own}):
        print(f"in {folder}:")
        for row in rows:
            print(f"  {row['name']:<22}{'here' if row['here'] else 'not here':<10}{row['licence']}")
            print(f"    {row['file']}, sha256 {str(row['sha256'])[:16]}, {row['address']}")
        if own is not None:
            print(f"  {_OWN_HEAD:<22}{'here':<10}yours, by avf-curate learn-sync")
            print(f"    {own['file']}, sha256 {own['sha256']}")
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
    from avf_curation.detectors.optional_networks import resolve_embedder
    from avf_curation.detectors.sync_head_file import HEAD_FILE
    from avf_curation.detectors.weights import KNOWN, find_weight, is_weight_file

    folder = weights_folder(options)
    present = {name: find_weight(name, folder) is not None for name in KNOWN}
    has_own_head = is_weight_file(folder / HEAD_FILE)
    if has_own_head:
        resolve_embedder(folder / HEAD_FILE, folder)  # it raises for a damaged file, and where a run would be refused
    if not write_answer(options, {**present, _OWN_HEAD: has_own_head}):
        for name, is_present in present.items():
            print(f"{name:<22}{'as published' if is_present else 'not here'}")
        if has_own_head:
            print(f"{_OWN_HEAD:<22}as learn-sync wrote it")
    return 0
