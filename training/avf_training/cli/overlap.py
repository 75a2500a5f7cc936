"""avf-train overlap: what corpora share, before a test between them is believed."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer

from avf_training.cli.options import add_cache_option, add_labelled_shards_option, labelled_shards


def add(commands: Any) -> None:
    """Add `overlap`."""
    parser = add_command(
        commands,
        "overlap",
        _run,
        help="Tell which recordings, people and films corpora share, by name and by sound.",
        details="Hybrids, held-out clips, transfers and starts leave out by themselves what a name tells; what only "
        "the sound tells is reported here and before a study. Shards without labels can be named too.",
        epilog="example:\n  avf-train overlap --shards MAFW --shards DFEW --shards UNLABELLED",
    )
    add_labelled_shards_option(parser)
    add_cache_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.tasks.corpus_overlap import find_overlap

    overlap = find_overlap(labelled_shards(options))
    if not write_answer(options, asdict(overlap)):
        held = ", ".join(f"{source} ({count})" for source, count in overlap.clips.items())
        print(f"sources: {held}")
        print("\n".join(overlap.sentences()) or "nothing in common, by name or by sound")
    return 0
