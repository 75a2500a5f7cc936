"""Compare what a folder of shards holds with what its manifest and its selection say: clips, seconds and keys."""

import math
from pathlib import Path

import pyarrow.compute as pc

from avf_shards.errors import FaultError
from avf_shards.format.denylist import read_denylist
from avf_shards.format.index import ShardIndex, load_index, sidecar_path
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest
from avf_shards.packing.pack import SELECTED
from avf_shards.schema.clip_key import key_frames, key_source
from avf_shards.schema.versions import read_parquet
from avf_shards.timeline import FRAMES_PER_SECOND

_NAMED = 5  # keys that a fault names; the others are counted
_DENIED_BUT_HELD = "the denylist forbids a clip, and a shard holds it; avf-shards delete takes it out"
_DELETED_BUT_HELD = "manifest.json: says that a clip was deleted, and a shard holds it"


def content_faults(shards: Path, manifest: ShardManifest) -> list[str]:
    """Return every disagreement between the indexes of intact shards, the manifest and selection.parquet.

    Raises FaultError for a file that cannot be read.
    """
    faults: list[str] = []
    shard_of: dict[str, str] = {}
    for entry in manifest.shards:
        loaded = load_index(sidecar_path(shards / entry.shard))
        faults += _count_faults(entry, loaded)
        for key in loaded.by_key():
            if key in shard_of:
                faults.append(f"{entry.shard}: holds {key}, which {shard_of[key]} holds too")
            shard_of[key] = entry.shard
    deleted = {tombstone.key for tombstone in manifest.tombstones}
    faults += _name_keys(_DELETED_BUT_HELD, deleted & shard_of.keys())
    denylist = read_denylist(shards)
    faults += _name_keys(_DENIED_BUT_HELD, {key for key in shard_of if denylist.denies_key(key)})
    total = sum(entry.deleted for entry in manifest.shards)
    if total != len(deleted):
        faults.append(f"manifest.json: lists {len(deleted)} deleted clips, and its shards say {total}")
    return faults + _selected_faults(shards / SELECTED, set(shard_of), deleted)


def _count_faults(entry: ShardEntry, loaded: ShardIndex) -> list[str]:
    """Return where a shard's index and its entry in the manifest count other clips, seconds or bytes."""
    keys = list(loaded.by_key())
    frames: dict[str, int] = {}
    clips: dict[str, int] = {}
    for key in keys:
        source, (start, stop) = key_source(key), key_frames(key)
        clips[source] = clips.get(source, 0) + 1
        frames[source] = frames.get(source, 0) + stop - start
    packed = sum(entry.clips.values())
    faults = []
    if packed != len(keys) + entry.deleted or entry.deleted != len(set(loaded.deleted)):
        faults.append(
            f"{entry.shard}: holds {len(keys)} clips and {len(set(loaded.deleted))} deleted positions, its entry in "
            f"manifest.json says {packed} as packed and {entry.deleted} deleted"
        )
    if not clips.keys() <= entry.clips.keys() or {name: n for name, n in loaded.clips.items() if n} != clips:
        faults.append(f"{entry.shard}: its index counts {loaded.clips}, and lists the clips {clips}")
    for source, seconds in entry.seconds.items():
        if not math.isclose(seconds, frames.get(source, 0) / FRAMES_PER_SECOND, abs_tol=1e-6):
            faults.append(f"{entry.shard}: manifest.json says {seconds:g} s of {source}, its clips have another length")
    if (entry.bytes, entry.sha256) != (loaded.size_bytes, loaded.sha256):
        faults.append(f"{entry.shard}: its index and manifest.json say another size or SHA-256")
    return faults


def _selected_faults(path: Path, packed: set[str], deleted: set[str]) -> list[str]:
    """Return where selection.parquet selects other clips than the shards hold."""
    if not path.is_file():
        return []
    try:
        table = read_parquet(path, "selection", ["key", "selected"])
    except FaultError:  # its digest is another then, which is a fault of its own
        return []
    selected = set(table.filter(pc.equal(table["selected"], True))["key"].to_pylist())
    return _name_keys(f"{path.name}: selects a clip that no shard holds", selected - packed - deleted) + _name_keys(
        f"{path.name}: does not select a clip that a shard holds", packed - selected
    )


def _name_keys(fault: str, keys: set[str]) -> list[str]:
    """Return the fault with the first of the keys; nothing where there is none."""
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{fault}: {', '.join(sorted(keys)[:_NAMED])}{more}"]
