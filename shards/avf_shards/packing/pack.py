"""Pack the clips of a finished run into training shards, each clip exactly once.

    SHARDS/pack.json                 what is packed, frozen first: ledger digest, selection, fingerprint
    SHARDS/SOURCE-000000.tar         clips of one source
    SHARDS/SOURCE-000000.index.json  its sidecar; a shard exists if and only if its sidecar does
    SHARDS/selection.parquet         every kept clip of the run: selected, or the reason why not
    SHARDS/manifest.json             all shards with their digests: the corpus is complete

After a kill at any moment, the same command continues after the last shard with a sidecar and writes the same bytes.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.errors import FaultError, UserError
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.format.index import FINGERPRINT, ShardReader, load_index, sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.run_folder import PART, PackedClip, RunFolder, write_part
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, read_manifest
from avf_shards.format.tar import Member
from avf_shards.packing.near_duplicates import Fingerprint
from avf_shards.packing.selection import Selection, SelectionResult, select_clips
from avf_shards.schema import ledger
from avf_shards.system import durable_io

PACK, SELECTED = "pack.json", "selection.parquet"
_OPEN_PARTS = 64  # a seeded order jumps between units, and a process may open only so many files


@dataclass(frozen=True, kw_only=True)
class PackIdentity:
    """The values of pack.json: what a folder of shards was packed from. The manifest repeats them."""

    fingerprint: str  # of the curation run
    inputs_sha256: str  # of the run's inputs, as in its plan.json
    ledger_sha256: str  # of the run's ledger
    selection: dict[str, Any]  # settings of the selection


def pack_shards(
    run: RunFolder, shards: Path, selection: Selection, progress: Callable[[int, int], None] = lambda done, total: None
) -> SelectionResult:
    """Write the selected clips of `run` into the folder `shards` and return the selection.

    Raises UserError when `shards` holds other files or another selection, FaultError when a unit's part is damaged.
    """
    table, result = select_from_run(run, selection)
    identity = PackIdentity(
        fingerprint=run.identity().fingerprint,
        inputs_sha256=run.plan_summary().inputs_sha256,
        ledger_sha256=hashlib.sha256(ledger.encode_ledger(table)).hexdigest(),
        selection=asdict(selection),
    )
    _freeze(shards, identity)
    if (shards / MANIFEST).is_file() and read_manifest(shards).tombstones:
        raise UserError(f"{shards}: clips were deleted here, packing would bring them back; use another folder")
    durable_io.make_new_folder(shards / "tmp")
    total, done = sum(map(len, result.clips.values())), 0
    parts = _Parts(run)
    listed: list[ShardEntry] = []
    try:
        for source, clips in result.clips.items():
            for number, first in enumerate(range(0, len(clips), selection.clips_per_shard)):
                chosen = clips[first : first + selection.clips_per_shard]
                shard = shards / f"{source}-{number:06d}.tar"
                _write_shard(shard, shards / "tmp", (parts.clip(*clip, source) for clip in chosen))
                listed.append(list_shard(shard))
                done += len(chosen)
                progress(done, total)
    finally:
        parts.close()
    decisions = ledger.encode_ledger(result.as_table())
    _publish_file(shards, SELECTED, decisions)
    manifest = ShardManifest(
        fingerprint=identity.fingerprint,
        inputs_sha256=identity.inputs_sha256,
        ledger_sha256=identity.ledger_sha256,
        selection=identity.selection,
        selection_sha256=hashlib.sha256(decisions).hexdigest(),
        shards=tuple(listed),
        sources={source: asdict(counts) for source, counts in result.sources.items()},
    )
    _publish_file(shards, MANIFEST, manifest.to_json())
    durable_io.remove(shards / "tmp")
    return result


def select_from_run(run: RunFolder, selection: Selection) -> tuple[pa.Table, SelectionResult]:
    """Return the ledger of a finished run and the clips that `selection` takes from it. Nothing is written.

    Raises UserError when the run is not finished.
    """
    newest = max(run.attempts(), default=None)
    if newest is None or not (run.attempt_folder(newest) / "ledger").is_dir():
        raise UserError(f"{run.root}: the run is not finished; start it again with the same command, then pack")
    table = run.ledger()
    return table, select_clips(table, selection, read_fingerprints(run, table) if selection.near_duplicates else None)


def read_fingerprints(run: RunFolder, table: pa.Table) -> dict[str, Fingerprint]:
    """Return key -> fingerprint of the sound, for the kept clips that have a fingerprint. Raises FaultError."""
    kept_rows = table.filter(pc.equal(table["status"], "kept"))
    fingerprints: dict[str, Fingerprint] = {}
    for unit in sorted({*zip(kept_rows["attempt"].to_pylist(), kept_rows["unit"].to_pylist(), strict=True)}):
        with ShardReader(run.unit_folder(*unit) / PART) as reader:
            for key, members in reader.index.by_key().items():
                if FINGERPRINT in members:
                    fingerprints[key] = np.frombuffer(reader.read(members[FINGERPRINT]), "<u4")
    return fingerprints


def _freeze(shards: Path, identity: PackIdentity) -> None:
    """Write pack.json at the first start; raise UserError for a folder that was made for something else."""
    if shards.exists() and not shards.is_dir():
        raise UserError(f"{shards}: is a file, not a folder for shards")

    def publish(data: bytes) -> None:
        if shards.is_dir() and any(path.name != "tmp" for path in shards.iterdir()):
            raise UserError(f"{shards}: holds files but no {PACK}, so it is not a folder of shards; use another folder")
        durable_io.make_folder(shards)
        durable_io.make_new_folder(shards / "tmp")
        _publish_file(shards, PACK, data)

    refusal = f"{shards}: was packed from another run, or with another selection; use another folder"
    freeze_or_refuse(shards / PACK, asdict(identity), "pack", publish, refusal)


def _publish_file(shards: Path, name: str, data: bytes) -> None:
    if (shards / name).is_file():
        return
    durable_io.write(shards / "tmp" / name, data)
    durable_io.publish_file(shards / "tmp" / name, shards / name)


def _write_shard(shard: Path, temporary: Path, clips: Iterator[PackedClip]) -> None:
    side = sidecar_path(shard)
    if side.is_file():
        return
    durable_io.remove(shard)  # a process may have been killed between the shard and its sidecar
    write_part(temporary, shard.name, clips)
    durable_io.publish_file(temporary / shard.name, shard)
    durable_io.publish_file(temporary / side.name, side)


def list_shard(shard: Path) -> ShardEntry:
    """Return the manifest's entry of a shard that is new, from its sidecar. Raises as `load_index`."""
    side = sidecar_path(shard)
    loaded = load_index(side)
    return ShardEntry(
        shard=shard.name,
        bytes=loaded.size_bytes,
        sha256=loaded.sha256,
        index_sha256=hashlib.sha256(side.read_bytes()).hexdigest(),
        clips=loaded.clips,
        seconds=loaded.seconds,
    )


class _Parts:
    """Readers of the units' tars: opened at first use, and the least recently used closed beyond `_OPEN_PARTS`."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._open: OrderedDict[tuple[int, int], tuple[ShardReader, dict[str, dict[str, Member]]]] = OrderedDict()

    def clip(self, key: str, attempt: int, unit: int, source: str) -> PackedClip:
        part = (attempt, unit)
        if part not in self._open:
            reader = ShardReader(self._run.unit_folder(attempt, unit) / PART)
            self._open[part] = (reader, reader.index.by_key())
            if len(self._open) > _OPEN_PARTS:
                self._open.popitem(last=False)[1][0].close()
        self._open.move_to_end(part)
        reader, members = self._open[part]
        if key not in members:
            raise FaultError(f"{sidecar_path(reader.path)}: lists no member of the clip {key}, which the ledger keeps")
        payloads = {kind: reader.read(member) for kind, member in members[key].items() if kind != FINGERPRINT}
        start, stop = key.split("-")[2:4]
        return PackedClip(key=key, source=source, frames=int(stop) - int(start), members=payloads)

    def close(self) -> None:
        for reader, _ in self._open.values():
            reader.close()
