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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.errors import FaultError, UserError
from avf_shards.format.denied_inputs import content_denials, denied_rows
from avf_shards.format.denylist import NOTHING_DENIED, Denylist, add_to_denylist, read_denylist
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.format.generations import ShardWriter, is_writers_own, open_for_writing
from avf_shards.format.index import FINGERPRINT, ShardReader, load_index, sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.run_folder import PackedClip, RunFolder, write_part
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest
from avf_shards.format.tar import Member
from avf_shards.packing.near_duplicates import Fingerprint
from avf_shards.packing.selection import Selection, SelectionResult, select_clips
from avf_shards.schema import ledger
from avf_shards.schema.clip_key import key_frames
from avf_shards.schema.versions import read_json
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes
from avf_shards.text import count_noun, shell_word

PACK, SELECTED = "pack.json", "selection.parquet"
_OPEN_PARTS = 64  # a seeded order jumps between units, and a process may open only so many files


@dataclass(frozen=True, kw_only=True)
class PackIdentity:
    """The values of pack.json: what a folder of shards was packed from. The manifest repeats them."""

    fingerprint: str  # of the curation run
    inputs_sha256: str  # of the run's inputs, as in its plan.json
    ledger_sha256: str  # of the run's ledger
    selection: dict[str, Any]  # settings of the selection
    denylist_sha256: str | None = None  # of what may not be packed; None: nothing was taken down


def pack_shards(
    run: RunFolder,
    shards: Path,
    selection: Selection,
    progress: Callable[[int, int], None] = lambda done, total: None,
    deny: Denylist = NOTHING_DENIED,
) -> SelectionResult:
    """Write the selected clips of `run` into the folder `shards` and return the selection.

    Args:
        deny: forbids more than the denylist of the run; both become the denylist of the shards.

    Raises:
        UserError: when `shards` holds other files or another selection.
        FaultError: when a unit's part or a denylist is damaged.
    """
    earlier = read_denylist(shards)
    deny |= earlier
    before, denylist = _read_changes(run), run.denylist() | deny
    table, result = select_from_run(run, selection, deny)
    identity = PackIdentity(
        fingerprint=run.identity().fingerprint,
        inputs_sha256=run.plan_summary().inputs_sha256,
        ledger_sha256=hashlib.sha256(ledger.encode_ledger(table)).hexdigest(),
        selection=asdict(selection),
        denylist_sha256=_denylist_sha256(shards, denylist, denylist - earlier, table),
    )
    _refuse_foreign_folder(shards)
    durable_io.make_folder(shards)
    with open_for_writing(shards) as writer:
        if (shards / MANIFEST).is_file() and writer.read_newest().tombstones:
            raise UserError(f"{shards}: clips were deleted here, packing would bring them back; use another folder")
        _freeze(writer, identity)
        add_to_denylist(shards, denylist, writer.temporary)
        try:
            listed = _write_shards(writer, run, result, selection.clips_per_shard, progress)
        except FaultError:
            _refuse_changed_run(run, before, shards)  # a deletion erases the clips that it takes away
            raise
        decisions = ledger.encode_ledger(result.as_table())
        _publish_file(writer, SELECTED, decisions)
        manifest = ShardManifest(
            fingerprint=identity.fingerprint,
            inputs_sha256=identity.inputs_sha256,
            ledger_sha256=identity.ledger_sha256,
            selection=identity.selection,
            selection_sha256=hashlib.sha256(decisions).hexdigest(),
            shards=tuple(listed),
            sources={source: asdict(counts) for source, counts in result.sources.items()},
            content=run.identity().content,
        )
        _refuse_changed_run(run, before, shards)
        if not (shards / MANIFEST).is_file():
            _publish_file(writer, MANIFEST, manifest.to_json())
            _withdraw_after_change(writer, run, before)
    return result


def _denylist_sha256(shards: Path, denylist: Denylist, new: Denylist, table: pa.Table) -> str | None:
    """Return the digest of the denylist for pack.json, or what stands there where the new entries change nothing.

    Args:
        new: the entries that the shards do not know yet.
        table: the ledger of the run.

    Raises:
        UserError: the new entries forbid clips that a started pack has taken, or may have.
    """
    digest = denylist.digest() if denylist else None
    value = read_json(shards / PACK).get("denylist_sha256") if (shards / PACK).is_file() else digest
    if value == digest:
        return digest
    kept, known = table.filter(pc.equal(table["status"], "kept")), denylist - new
    masks = (denied_rows(kept, entries | content_denials(table, entries)) for entries in (new, known))
    forbidden = sum(is_new and not is_known for is_new, is_known in zip(*masks, strict=True))
    if forbidden:
        raise UserError(
            f"{shards}: was packed before the denylist forbade {count_noun(forbidden, 'span')} that the run keeps. "
            f"Take them out of finished shards with avf-shards delete {shell_word(shards)} and what was named there, "
            "or pack into another folder and remove this one"
        )
    return None if value is None else str(value)


def _read_changes(run: RunFolder) -> tuple[list[int], str]:
    """Return the attempts of a run and the digest of its denylist: a retry or a deletion changes one of them."""
    return run.attempts(), run.denylist().digest()


def _withdraw_after_change(writer: ShardWriter, run: RunFolder, before: tuple[list[int], str]) -> None:
    """Raise UserError as `_refuse_changed_run`, with the manifest removed that this process has just published.

    Nobody holds the run's lock while it is packed, since a run may be read-only, so a deletion can come between the
    first comparison and the manifest. One that comes after this comparison found finished shards.
    """
    try:
        _refuse_changed_run(run, before, writer.shards)
    except UserError:
        writer.remove(writer.shards / MANIFEST)
        durable_io.sync_folder(writer.shards)
        raise


def _refuse_changed_run(run: RunFolder, before: tuple[list[int], str], shards: Path) -> None:
    """Raise UserError where the run has other attempts, or another denylist, than when its ledger was read."""
    if _read_changes(run) != before:
        raise UserError(
            f"{run.root}: was changed while it was packed (a retry or a deletion), and the shards would hold what it "
            f"no longer keeps; {shards} is not finished. Pack into another folder and remove this one"
        )


def _write_shards(
    writer: ShardWriter,
    run: RunFolder,
    result: SelectionResult,
    clips_per_shard: int,
    progress: Callable[[int, int], None],
) -> list[ShardEntry]:
    """Write the shards that are not there yet; return the entries of all."""
    total, done = sum(map(len, result.clips.values())), 0
    parts = _Parts(run)
    listed: list[ShardEntry] = []
    try:
        for source, clips in result.clips.items():
            for number, first in enumerate(range(0, len(clips), clips_per_shard)):
                chosen = clips[first : first + clips_per_shard]
                name = f"{source}-{number:06d}.tar"
                _write_shard(writer, name, (parts.clip(*clip, source) for clip in chosen))
                listed.append(list_shard(writer.shards / name))
                done += len(chosen)
                progress(done, total)
    finally:
        parts.close()
    return listed


def select_from_run(
    run: RunFolder, selection: Selection, deny: Denylist = NOTHING_DENIED
) -> tuple[pa.Table, SelectionResult]:
    """Return the ledger of a finished run and the clips that `selection` takes from it. Nothing is written.

    Args:
        deny: forbids more than the denylist of the run.

    Raises:
        UserError: when the run is not finished.
        FaultError: when its plan, ledger or denylist is damaged.
    """
    newest = max(run.attempts(), default=None)
    if newest is None or not (run.attempt_folder(newest) / "ledger").is_dir():
        raise UserError(f"{run.root}: the run is not finished; start it again with the same command, then pack")
    for attempt in run.attempts():
        run.check_plan(attempt)
    table, denylist = run.ledger(), run.denylist() | deny
    denylist |= content_denials(table, denylist)
    fingerprints = read_fingerprints(run, table) if selection.near_duplicates else None
    return table, select_clips(table, selection, fingerprints, denylist)


def read_fingerprints(
    run: RunFolder, table: pa.Table, on_fault: Callable[[FaultError], None] | None = None
) -> dict[str, Fingerprint]:
    """Return key -> fingerprint of the sound, for the kept clips that have a fingerprint.

    Args:
        on_fault: is called for each clip and each unit that is damaged, which is passed over then.

    Raises:
        FaultError: a clip or a unit is damaged, and there is no `on_fault`.
    """
    kept_rows = table.filter(pc.equal(table["status"], "kept"))
    keys_of_unit: dict[tuple[int, int], set[str]] = {}
    for attempt, unit, keys in zip(
        *(kept_rows[name].to_pylist() for name in ("attempt", "unit", "clips")), strict=True
    ):
        keys_of_unit.setdefault((attempt, unit), set()).update(keys)
    fingerprints: dict[str, Fingerprint] = {}
    for unit, keys in sorted(keys_of_unit.items()):
        with _passing_over(on_fault), ShardReader(run.part(*unit)) as reader:
            for key, members in reader.index.by_key().items():
                if key in keys and FINGERPRINT in members:  # bytes of a clip that was taken down are zeros
                    with _passing_over(on_fault):
                        fingerprints[key] = np.frombuffer(reader.read(members[FINGERPRINT]), "<u4")
    return fingerprints


@contextmanager
def _passing_over(on_fault: Callable[[FaultError], None] | None) -> Iterator[None]:
    """End the block at a FaultError and pass it on, or raise it where nobody takes it."""
    try:
        yield
    except FaultError as error:
        if on_fault is None:
            raise
        on_fault(error)


def _refuse_foreign_folder(shards: Path) -> None:
    """Raise UserError for a path that is no folder of shards, and no folder that could become that."""
    if shards.exists() and not shards.is_dir():
        raise UserError(f"{shards}: is a file, not a folder for shards")
    if (shards / PACK).is_file() or not shards.is_dir():
        return
    if any(not is_writers_own(path) for path in shards.iterdir()):
        raise UserError(f"{shards}: holds files but no {PACK}, so it is not a folder of shards; use another folder")


def _freeze(writer: ShardWriter, identity: PackIdentity) -> None:
    """Write pack.json at the first start; raise UserError for a folder that was packed from something else."""
    refusal = (
        f"{writer.shards}: was packed from another run, with another selection, or before a retry or a takedown "
        "in the run; use another folder"
    )
    values = {name: value for name, value in asdict(identity).items() if value is not None}
    freeze_or_refuse(writer.shards / PACK, values, "pack", lambda data: _publish_file(writer, PACK, data), refusal)


def _publish_file(writer: ShardWriter, name: str, data: bytes) -> None:
    if (writer.shards / name).is_file():
        return
    durable_io.write(writer.temporary / name, data)
    durable_io.publish_file(writer.temporary / name, writer.shards / name)


def _write_shard(writer: ShardWriter, name: str, clips: Iterator[PackedClip]) -> None:
    shard = writer.shards / name
    side = sidecar_path(shard)
    if side.is_file():
        return
    writer.remove(shard)  # a process may have been killed between the shard and its sidecar
    write_part(writer.temporary, name, clips)
    durable_io.publish_file(writer.temporary / name, shard)
    durable_io.publish_file(writer.temporary / side.name, side)


def list_shard(shard: Path) -> ShardEntry:
    """Return the manifest's entry of a shard that is new, from its sidecar. Raises as `load_index`."""
    side = sidecar_path(shard)
    loaded = load_index(side)
    return ShardEntry(
        shard=shard.name,
        bytes=loaded.size_bytes,
        sha256=loaded.sha256,
        index_sha256=hashlib.sha256(read_bytes(side)).hexdigest(),
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
            reader = ShardReader(self._run.part(attempt, unit))
            self._open[part] = (reader, reader.index.by_key())
            if len(self._open) > _OPEN_PARTS:
                self._open.popitem(last=False)[1][0].close()
        self._open.move_to_end(part)
        reader, members = self._open[part]
        if key not in members:
            raise FaultError(f"{sidecar_path(reader.path)}: lists no member of the clip {key}, which the ledger keeps")
        payloads = {kind: reader.read(member) for kind, member in members[key].items() if kind != FINGERPRINT}
        start, stop = key_frames(key)
        return PackedClip(key=key, source=source, frames=stop - start, members=payloads)

    def close(self) -> None:
        for reader, _ in self._open.values():
            reader.close()
