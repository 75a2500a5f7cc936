"""avf-curate learn-sync: a sync network of one's own from the kept clips of a run."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import output_folder, own_file
from avf_shards.errors import UserError
from avf_shards.system.own_files import OwnFile, bytes_with

from avf_curation.cli.options import add_run_argument, add_weights_option, open_run, weights_folder


def add(commands: Any) -> None:
    """Add `learn-sync`."""
    parser = add_command(
        commands,
        "learn-sync",
        _run,
        help="Learn from the kept clips of a run, without labels, how mouths and voices belong together: offsets are "
        "told in more and shorter clips of the runs that come after.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=own_file(_own_kind),
        help="file to write (default: sync_head.safetensors in the folder of model files, where runs take it from)",
    )
    parser.add_argument(
        "--minutes", metavar="N", type=float, default=20.0, help="most minutes of clips to learn from (default: 20)"
    )
    parser.add_argument(
        "--view",
        choices=VIEWS,
        help="what the network sees of a face: the distances of its lips, and LR-ASD's embedding beside them, whose "
        "weights the runs that come after need too (default: lips+speaker where the weights are, else lips)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of clips, weights and batches (default: 0)")
    add_weights_option(parser)
    add_json_option(parser)


VIEWS = ("lips", "lips+speaker")


def _own_kind() -> OwnFile:
    from avf_curation.detectors.sync_head_file import CARD_KEY

    return bytes_with("a sync network of avf-curate learn-sync", f'"{CARD_KEY}":'.encode())


def _check_default(path: Path) -> Path:
    """Return the path of the file in the folder of model files, after the checks that `--out` has.

    The folder is made after the training. Raises UserError where it cannot be, and for a file of others in it.
    """
    try:
        folder = output_folder(str(path.parent))
        return own_file(_own_kind)(str(path)) if folder.is_dir() else path
    except argparse.ArgumentTypeError as error:
        raise UserError(f"the network cannot be stored: {error}, or give --out FILE") from None


def _find_lr_asd(view: str | None, folder: Path) -> Path | None:
    """Return the weights of LR-ASD where the network is to see by them.

    Raises UserError where `--view` asks for them and they are not in the folder, and for damaged ones.
    """
    from avf_curation.detectors.optional_networks import describe_missing_weights
    from avf_curation.detectors.weights import find_weight

    if view == "lips":
        return None
    match = find_weight("lr_asd", folder)
    if match is None and view is not None:
        raise UserError(describe_missing_weights("--view", view, "lr_asd", folder))
    return None if match is None else match[1]


def _run(options: argparse.Namespace) -> int:
    from avf_curation.detectors.sync_head_file import HEAD_FILE
    from avf_curation.runs.sync_learning import LearningOptions, learn_sync

    out: Path = options.out or _check_default(weights_folder(options) / HEAD_FILE)
    lr_asd = _find_lr_asd(options.view, weights_folder(options))
    request = LearningOptions(minutes=options.minutes, seed=options.seed, lr_asd=lr_asd)
    with progress_line() as show:
        result = learn_sync(open_run(options), out, request, show)
    if write_answer(options, {**asdict(result), "path": str(result.path)}):
        return 0
    card = result.card
    seen = "the lips" if card.lr_asd is None else "the lips and LR-ASD's embedding of the face"
    print(
        f"learnt from {card.clips} clips, {card.seconds:.0f} s, of {card.people} people, by {seen}; on people held out:"
    )
    for line in result.figures:
        right = "none" if line.told_right_share is None else f"{line.told_right_share:.0%} of them right"
        print(
            f"  {line.length_s} s: {line.right_share:.0%} of {line.pieces} offsets right; "
            f"told {line.told_share:.0%}, {right}"
        )
    print(f"{result.path}: sha256 {result.sha256[:16]}")
    return 0
