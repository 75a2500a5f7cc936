"""avf-curate forge: fakes with exact truth out of a user's own real videos."""

import argparse
import logging
import os
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.text import count_noun, printable, shell_word

from avf_curation.cli.options import add_follow_option

_LOG = logging.getLogger(__name__)
_NAMED = 5  # videos that a warning names; the others are counted


def add(commands: Any) -> None:
    """Add `forge`."""
    parser = add_command(
        commands,
        "forge",
        _run,
        help="Make forged videos with exact truth out of real ones, to learn and to test deepfake detection.",
        details="DIR gets a labels.csv, and for each video its real version and its forgeries, all encoded as often, "
        "so that no file's size or encoder tells. The person is the column `subject` of a labels.csv in FOLDER, else "
        "the folder of the file, else the file. With ten people or more, a column `split` parts people into train, val "
        "and test, and a voice or face is lent within a part. The same call again continues a stopped one.",
    )
    parser.set_defaults(stopped="stopped; finished videos are saved, and the same command continues after them")
    parser.add_argument("folder", metavar="FOLDER", type=local_path, help="folder of real videos")
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="a new folder, or that of the same call"
    )
    parser.add_argument(
        "--methods",
        metavar="NAME,...",
        type=_names,
        help="of dubbed, late, voice_word, pitch, face, still_mouth, repeated (default: all)",
    )
    parser.add_argument(
        "--fakes", metavar="N", type=int, help="forgeries of each video, of the methods in turn (default: one of each)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of every choice (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=float,
        default=10.0,
        help="most of each video that is used, from its middle (default: %(default)g)",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="number of processes (default: one for each CPU)")
    add_follow_option(parser)
    add_json_option(parser)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _run(options: argparse.Namespace) -> int:
    from avf_curation.forging.forge import forge_folder
    from avf_curation.forging.methods import METHODS
    from avf_curation.forging.original_films import ForgeConfig

    config = ForgeConfig(
        methods=tuple(METHODS) if options.methods is None else options.methods,
        fakes=options.fakes,
        seed=options.seed,
        seconds=options.seconds,
    )
    with progress_line() as show:
        result = forge_folder(
            options.folder,
            options.out,
            config,
            processes=max(1, options.workers or os.cpu_count() or 1),
            follow_symlinks=options.follow_symlinks,
            on_original=lambda done, total: show(f"{done:,} of {count_noun(total, 'video')}"),
        )
    for reasons, words in ((result.unused, "not used"), (result.missed, "not forged")):
        for name, reason in list(reasons.items())[:_NAMED]:
            _LOG.warning("%s: %s: %s", printable(name), words, reason)
        if len(reasons) > _NAMED:
            _LOG.warning("%s more %s; --json names them", f"{len(reasons) - _NAMED:,}", words)
    answer = asdict(result)
    if not write_answer(options, answer):
        fakes = ", ".join(f"{number:,} {method}" for method, number in result.fakes.items())
        print(f"{count_noun(result.real, 'real video')}; people: {result.people:,}; forged: {fakes}")
        if result.splits:
            print("  " + ", ".join(f"{split} {number:,}" for split, number in result.splits.items()))
        source = shell_word(options.out)
        print(f"next: avf-curate run --recipe deepfakes --source forged={source} --out RUN")
    return 0
