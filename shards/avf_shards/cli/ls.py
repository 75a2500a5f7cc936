"""avf-shards ls: list the shards, or the clips in them."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_shards_argument


def add(commands: Any) -> None:
    """Add `ls`."""
    parser = add_command(
        commands, "ls", _run, help="List the shards with their clips, seconds and megabytes, or the keys of all clips."
    )
    add_shards_argument(parser)
    parser.add_argument("--keys", action="store_true", help="print the key of each clip, one a line")
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
    lines = [f"{'shard':<32}{'clips':>8}{'seconds':>11}{'MB':>9}"]
    for entry in manifest.shards:
        clips, seconds = sum(entry.clips.values()) - entry.deleted, sum(entry.seconds.values())
        lines.append(f"{entry.shard:<32}{clips:>8}{seconds:>11.1f}{entry.bytes / 1e6:>9.1f}")
    entries = [entry.as_dict() for entry in manifest.shards]
    print_answer(options, {"shards": entries, "sources": manifest.sources}, "\n".join(lines))
    return 0
