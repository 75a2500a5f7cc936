"""avf-train weights: checkpoints that authors publish, by name, as models of this package."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import (
    add_command,
    add_command_group,
    add_json_option,
    print_answer,
    set_completer,
    write_answer,
)
from avf_shards.cli.hub_options import EXTRA_HELP
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.stores.addresses import is_web_address


def add(commands: Any) -> None:
    """Add `weights` with `ls` and `pull`."""
    verbs = add_command_group(commands, "weights", help="List or fetch the checkpoints that authors publish.")
    verb = add_command(
        verbs,
        "ls",
        _run_ls,
        help="List the published checkpoints that become models here, and the networks of avf-train frechet.",
    )
    add_json_option(verb)
    verb = add_command(
        verbs,
        "pull",
        _run_pull,
        help="Fetch a published checkpoint by name and convert it to a model folder; keep a network of frechet.",
        details="What lies on the Hub or at an address is fetched; of what its authors put on a page for people the "
        "message says where, and --from takes the file that a browser saved. config.json says where the weights came "
        "from: commit, SHA-256, licence. Only tensors are read, never code.\n\n" + EXTRA_HELP,
        epilog="examples:\n  avf-train weights pull avfmaepp_h --out AVFMAEPP_H\n"
        "  avf-train weights pull hicmae_b --from checkpoint-99.pth --out HICMAE_B",
    )
    verb.set_defaults(stopped="stopped; what came from the Hub is not fetched again")
    name = verb.add_argument("name", metavar="NAME", help="name of the model, as `avf-train weights ls` prints it")
    set_completer(name, _published_names)
    verb.add_argument("--out", metavar="DIR", type=output_folder, required=True, help="new folder for the model")
    source = verb.add_mutually_exclusive_group()
    source.add_argument(
        "--from",
        dest="source",
        metavar="FILE|URL",
        type=_file_or_address,
        help="convert this checkpoint instead: a file, or an address of a web server",
    )
    source.add_argument(
        "--revision", metavar="COMMIT", help="commit, tag or branch of the Hub (default: the newest commit)"
    )
    add_json_option(verb)


def _file_or_address(text: str) -> Path | str:
    return text if is_web_address(text) else local_path(text)


def _published_names() -> list[str]:
    from avf_training.models.published import PUBLISHED

    return list(PUBLISHED)


def _run_ls(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from avf_training.models.published import PUBLISHED

    if not write_answer(options, {"weights": [asdict(checkpoint) for checkpoint in PUBLISHED.values()]}):
        width = max(map(len, PUBLISHED)) + 2
        for checkpoint in PUBLISHED.values():
            size = f", about {checkpoint.size_bytes / 1e9:.2f} GB" if checkpoint.size_bytes else ""
            by_hand = (
                "" if checkpoint.repository or checkpoint.address else "; save it with a browser, then --from FILE"
            )
            print(f"{checkpoint.name:<{width}}{checkpoint.title}")
            print(f"{'':<{width}}{checkpoint.owner}: {checkpoint.paper}; licence {checkpoint.licence}")
            print(f"{'':<{width}}{checkpoint.page}: {checkpoint.file}{size}{by_hand}")
    return 0


def _run_pull(options: argparse.Namespace) -> int:
    from avf_shards.errors import UserError

    from avf_training.models.presets import PRESETS
    from avf_training.models.published import find_published, require_fetchable

    checkpoint = find_published(options.name) if options.source else require_fetchable(options.name)
    if options.out.exists():
        raise UserError(f"{options.out}: exists already; name a new folder")
    # After what is refused quickly: this loads torch.
    from avf_training.cli.checkpoint_files import convert_checkpoint
    from avf_training.frechet.detector_folder import keep_detector
    from avf_training.inference.published_weights import fetch_checkpoint

    source = None if options.source is None else str(options.source)
    with (
        progress_line() as show,
        fetch_checkpoint(
            options.name,
            options.out,
            source,
            options.revision,
            lambda done, total: show(f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"),
        ) as fetched,
    ):
        origin = {"name": options.name, "from": fetched.origin, "sha256": fetched.sha256}
        origin |= {} if checkpoint is None else {"licence": checkpoint.licence, "owner": checkpoint.owner}
        if checkpoint is not None and checkpoint.is_detector:
            keep_detector(fetched.path, options.out, checkpoint.file, origin)
            summary = f"{checkpoint.file} as it is, for avf-train frechet --detector"
        else:
            summary = convert_checkpoint(fetched.path, options.out, PRESETS.get(options.name), origin)
    print_answer(
        options,
        {**origin, "out": str(options.out)},
        f"{options.out}: {summary}\nfrom {fetched.origin}, SHA-256 {fetched.sha256}",
    )
    return 0
