"""Folders of shards: their clips, and a manifest for shards that were not packed from a curation run."""

from collections.abc import Sequence
from pathlib import Path

from avf_shards.format.index import ShardReader
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, read_manifest


def read_clips(shards: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each clip by its key, of all shards of a folder."""
    clips: dict[str, dict[str, bytes]] = {}
    for entry in read_manifest(shards).shards:
        with ShardReader(shards / entry.shard) as reader:
            clips.update(reader.clips())
    return clips


def write_manifest(folder: Path, shards: Sequence[ShardEntry]) -> None:
    """Write the manifest of shards that were not packed from a curation run."""
    manifest = ShardManifest(
        fingerprint="",
        inputs_sha256="",
        ledger_sha256="",
        selection={},
        selection_sha256="",
        shards=tuple(shards),
        sources={},
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())
