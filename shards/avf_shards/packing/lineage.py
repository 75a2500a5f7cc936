"""From a clip's key back to the bytes it was cut from, with every score on the way."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.index import ShardReader
from avf_shards.format.manifest import read_manifest
from avf_shards.schema.clip_key import is_key


def find_clips(shards: Path, keys: Iterable[str]) -> dict[str, tuple[str, dict[str, bytes]]]:
    """Key -> (shard, extension -> bytes), in the order asked. Raises UserError for what is no key or not there."""
    asked = list(dict.fromkeys(keys))
    for key in asked:
        if not is_key(key):
            raise UserError(f"{key!r}: not a clip's key; avf-shards ls {shards} --keys lists them")
    sources = {key.split("-", 1)[0] for key in asked}
    left, found = set(asked), {}
    for entry in read_manifest(shards)["shards"]:
        if left and sources & entry["clips"].keys():
            with ShardReader(shards / Path(entry["shard"]).name) as reader:
                members = reader.index.by_key()
                for key in left & members.keys():
                    files = {extension: reader.read(member) for extension, member in members[key].items()}
                    found[key] = entry["shard"], files
                left -= members.keys()
    if left:
        raise UserError(f"{', '.join(sorted(left))}: not in {shards}; avf-shards ls {shards} --keys lists what is")
    return {key: found[key] for key in asked}


def trace_clips(shards: Path, keys: Iterable[str]) -> list[dict[str, Any]]:
    """The records of clips, say of a batch's `keys`, each with the shard it lies in.

    A record has the input's path, size and SHA-256, the span, and every score with its threshold. Raises UserError.
    """
    return [{"shard": shard, **json.loads(files["json"])} for shard, files in find_clips(shards, keys).values()]


def format_lineage(record: dict[str, Any]) -> str:
    """One record of `trace_clips` for people."""
    span = record["span"]
    lines = [
        record["key"],
        f"  shard        {record['shard']}",
        f"  input        {record['source']}: {record['path']}",
        f"  input bytes  {record['input_bytes']}, sha256 {record['input_sha256']}",
        f"  video        {record['video_id']} (group {record['group_id']})",
        f"  span         frames [{span['start_frame']}, {span['stop_frame']}) = {record['seconds']:.2f} s",
        f"  window       {record['window_px']:.0f} px of the source -> {record['size_px']} px",
        f"  sound        moved by {record['av_offset_ms']} ms",
        f"  fingerprint  {record['fingerprint']}",
        "  backends     " + ", ".join(f"{stage}={name}" for stage, name in sorted(record["backends"].items())),
        f"  {'check':<32}{'score':>10}    {'threshold':>10}",
    ]
    for check in record["checks"]:
        score = "cannot tell" if check["score"] is None else f"{check['score']:.4g}"
        name = f"{check['stage']}/{check['reason']}"
        lines.append(f"  {name:<32}{score:>11} {check['operator']} {check['threshold']:>10.4g}")
    return "\n".join(lines)
