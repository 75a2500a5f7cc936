"""avf-shards ls: list the shards, or the clips in them."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_shards_argument


def add(commands: Any) -> None:
    """Add `ls`."""
    parser = add_command(
        commands,
        "ls",
        _run,
        help="List the shards with their clips or pictures, seconds and megabytes, or the keys of all.",
    )
    add_shards_argument(parser)
    parser.add_argument("--keys", action="store_true", help="print the key of each clip or picture, one a line")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.format.index import load_index, sidecar_path
    from avf_shards.format.shard_manifest import read_manifest

    manifest = read_manifest(options.shards)
    if options.keys:
        sidecars = [sidecar_path(options.shards / entry.shard) for entry in manifest.shards]
        keys = [key for sidecar in sidecars for key in load_index(sidecar).by_key()]
        print_answer(options, keys, "\n".join(keys))
        return 0
    is_clips = manifest.content == "clips"
    lines = [f"{'shard':<32}{manifest.content:>9}{'seconds' if is_clips else '':>10}{'MB':>9}"]
    for entry in manifest.shards:
        clips, seconds = sum(entry.clips.values()) - entry.deleted, sum(entry.seconds.values())
        length = f"{seconds:.1f}" if is_clips else ""  # pictures take no time
        lines.append(f"{entry.shard:<32}{clips:>9}{length:>10}{entry.bytes / 1e6:>9.1f}")
    entries = [entry.as_dict() for entry in manifest.shards]
    values = {"content": manifest.content, "shards": entries, "sources": manifest.sources}
    print_answer(options, values, "\n".join(lines))
    return 0
