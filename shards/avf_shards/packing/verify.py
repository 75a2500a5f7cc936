"""Verify that every byte of a folder of shards is as packed, and name the shard, member and byte of each fault."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_shards.format.denylist import is_denylist_name
from avf_shards.format.generations import generation_name, is_writers_own, list_generations, read_generation
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, read_manifest
from avf_shards.format.tar import BLOCK, END, read_member, sha256_file
from avf_shards.packing.contents import content_faults
from avf_shards.packing.pack import PACK, SELECTED
from avf_shards.schema.versions import read_json, read_parquet, refuse_newer_version, stamp
from avf_shards.system.storage_faults import name_path, open_plain, read_bytes
from avf_shards.text import shell_word


def verify_shards(shards: Path, progress: Callable[[str], None] = lambda name: None) -> list[str]:
    """Return every fault in `shards`, one sentence each; an empty list means that every byte is as packed.

    Raises UserError when `shards` is not a folder of shards, or when a newer version of this program packed it.
    """
    if not shards.is_dir():
        raise UserError(f"{shards}: no such folder")
    if not (shards / MANIFEST).is_file():
        if (shards / PACK).is_file():
            return [f"{MANIFEST}: missing; packing was not finished, start it again with the same command"]
        raise UserError(
            f"{shards}: not a folder of shards (no {MANIFEST}); make one with avf-shards pack RUN --out "
            f"{shell_word(shards)}"
        )
    try:
        manifest = read_manifest(shards)
    except FaultError as error:
        return [str(error)]
    entries = {entry.shard: entry for entry in manifest.shards}
    faults = _pack_faults(shards / PACK, manifest) + _selection_faults(shards / SELECTED, manifest)
    faults += _generation_faults(shards) + list(_foreign_faults(shards, set(entries)))
    broken = False
    for name, entry in sorted(entries.items()):
        progress(name)
        shard_faults = _shard_faults(shards / name, entry)
        broken = broken or bool(shard_faults)
        faults += shard_faults
    # What a damaged shard holds cannot be counted.
    return faults if broken else faults + content_faults(shards, manifest)


def _pack_faults(path: Path, manifest: ShardManifest) -> list[str]:
    """Return the fault of pack.json, whose values the manifest repeats."""
    if not path.is_file():
        return [f"{path.name}: missing"]
    identity = {
        "fingerprint": manifest.fingerprint,
        "inputs_sha256": manifest.inputs_sha256,
        "ledger_sha256": manifest.ledger_sha256,
        "selection": manifest.selection,
    }
    try:
        values = read_json(path)
    except FaultError as error:
        return [str(error)]
    refuse_newer_version(values, "pack", str(path))
    expected = stamp(identity, "pack")
    same = all(values.get(key) == value for key, value in expected.items())  # a later version may add fields
    return [] if same else [f"{path.name}: damaged, or it belongs to another manifest"]


def _selection_faults(path: Path, manifest: ShardManifest) -> list[str]:
    if not path.is_file():
        return [f"{path.name}: missing"]
    if sha256_file(path) == manifest.selection_sha256:
        return []
    with suppress(FaultError):
        read_parquet(path, "selection", [])  # refuses the file of a newer version, which is not damaged
    return [f"{path.name}: damaged (its SHA-256 is not the manifest's)"]


def _generation_faults(shards: Path) -> list[str]:
    """Return the fault of the newest generation's file, or of a manifest.json that is another: a writer was killed."""
    newest = max(list_generations(shards), default=None)
    try:
        if newest is None or read_generation(shards, newest) == read_bytes(shards / MANIFEST):
            return []
    except FaultError as error:
        return [str(error)]
    return [f"{MANIFEST}: is not {generation_name(newest)}; a deletion was stopped half-way, start it again"]


def _foreign_faults(shards: Path, names: set[str]) -> Iterator[str]:
    expected = {MANIFEST, PACK, SELECTED} | names | {index.sidecar_path(Path(name)).name for name in names}
    expected |= {generation_name(generation) for generation in list_generations(shards)}
    for path in sorted(shards.iterdir()):
        if path.name not in expected and not is_writers_own(path) and not is_denylist_name(path.name):
            yield f"{path.name}: foreign; the manifest does not list it"


def _shard_faults(shard: Path, entry: ShardEntry) -> list[str]:
    side = index.sidecar_path(shard)
    if not shard.is_file():
        return [f"{shard.name}: missing"] + ([] if side.is_file() else [f"{side.name}: missing"])
    if not side.is_file():
        return [f"{side.name}: missing"]
    if hashlib.sha256(read_bytes(side)).hexdigest() != entry.index_sha256:
        with suppress(FaultError):
            index.load_index(side)  # refuses the sidecar of a newer version, which is not damaged
        return [f"{side.name}: damaged, or not the sidecar that was packed (its SHA-256 is not the manifest's)"]
    is_same = sha256_file(shard) == entry.sha256
    # The digest decides; a shard that differs is read a second time to find where. One that was rewritten may hold a
    # clip that was damaged before, under the digest of the damaged bytes.
    if is_same and not entry.rewritten:
        return []
    try:
        faults = list(_byte_faults(shard))
        return faults or ([] if is_same else [f"{shard.name}: its SHA-256 is not the manifest's"])
    except FaultError as error:
        return [str(error)]


def _byte_faults(shard: Path) -> Iterator[str]:
    """Yield where the shard differs from its index: size, each member's header, payload and padding, the end blocks."""
    loaded = index.load_index(index.sidecar_path(shard))
    size = shard.stat().st_size
    if size != loaded.size_bytes:
        fault = "truncated" if size < loaded.size_bytes else "longer than written"
        yield f"{shard.name}: {size} bytes, its index says {loaded.size_bytes} ({fault})"
    with name_path(shard), open(shard, "rb", buffering=0, opener=open_plain) as file:
        handle, offset = file.fileno(), 0
        for member in loaded.members:
            try:
                read_member(handle, shard, member)
            except FaultError as error:
                yield str(error)
            offset = member.offset + member.size
            padding = os.pread(handle, -member.size % BLOCK, offset)
            if padding.strip(b"\0"):
                yield f"{shard.name}: the padding after {member.name} at byte {offset} is damaged"
            offset += -member.size % BLOCK
        if size == loaded.size_bytes and os.pread(handle, len(END), offset) != END:
            yield f"{shard.name}: the end-of-archive blocks at byte {offset} are damaged"
