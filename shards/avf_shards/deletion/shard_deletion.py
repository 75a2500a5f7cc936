"""Delete clips from shards, while every other clip keeps its position in the order.

A shard with such a clip is written anew under another name, and its index lists the deleted positions. Replacing the
manifest puts all new shards into force at once; after a kill at any moment, the same command finishes the deletion. The
stream order counts deleted positions too, so its digest stays the same and a training run goes on: a deleted clip is
substituted as an unreadable clip is.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.deletion.rewritten_selection import publish_selection_without, settle_selection
from avf_shards.errors import FaultError
from avf_shards.format import index
from avf_shards.format.denied_inputs import InputSpan, is_time_range, shift_span
from avf_shards.format.denylist import Denial, Denylist, add_to_denylist, read_denylist
from avf_shards.format.generations import ShardWriter
from avf_shards.format.index import ShardReader, sidecar_path
from avf_shards.format.picture_record import PictureRecord, StoredRecord, read_stored_record
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, Tombstone, read_manifest
from avf_shards.format.tar import Member, TarWriter
from avf_shards.schema.clip_key import key_frames
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes
from avf_shards.timeline import FRAMES_PER_SECOND

OnFault = Callable[[str], None]
"""Takes what is damaged, in a sentence: it stops no takedown."""

_VERSION = re.compile(r"(.+?)(?:-r\d+(?:-[0-9a-f]{12})?)?\.(?:tar|index\.json)")


@dataclass(frozen=True, kw_only=True)
class DeletionReport:
    """The result of a deletion."""

    keys: tuple[str, ...]  # of the clips that this call deleted
    tombstones: int  # clips that this call and all earlier ones deleted
    rewritten: tuple[str, ...]  # names of the new shards


def known_in_shards(writer: ShardWriter, denylist: Denylist, on_fault: OnFault) -> set[Denial]:
    """Return the entries that a clip of the shards, one that was deleted there, or their denylist knows."""
    manifest = writer.read_newest()
    known = set(denylist.denials) & set(read_denylist(writer.shards).denials)
    for tombstone in manifest.tombstones:
        known.update(denylist.match_key(tombstone.key))
    for entry in manifest.shards:
        for _, denials, _ in _denied_clips(writer.shards, entry, denylist, on_fault):
            known.update(denials)
    return known


def content_denials_of(writer: ShardWriter, denylist: Denylist, on_fault: OnFault) -> Denylist:
    """Return entries that forbid the bytes of the inputs of the clips that the denylist forbids in the shards."""
    denials: list[Denial] = []
    for entry in writer.read_newest().shards:
        for _, matched, record in _denied_clips(writer.shards, entry, denylist, on_fault, reads_records=True):
            if record is not None and record.input_sha256:
                span = _input_span(record)
                denials += [new for denial in matched for new in span.follow(denial)]
    return Denylist(denials=tuple(dict.fromkeys(denials)))


def delete_as_writer(
    writer: ShardWriter, added: Denylist, reason: str, on_fault: OnFault, removed: Collection[str] = ()
) -> DeletionReport:
    """Add to the denylist of the shards, and delete every clip that it forbids then, twins of the same bytes too.

    A damaged clip of another video moves into the new shard as it is, with the checksum that it lacks: readers and
    `verify` name it there too.

    Args:
        on_fault: is called for each shard that cannot be looked through, and for each damaged clip.
        removed: keys of clips that were taken down in the run: some may not be in a shard and be in selection.parquet.
    """
    shards = writer.shards
    # An earlier call may have been killed before it committed, which leaves new shards that nothing lists, or after,
    # which leaves the old shards.
    manifest = _remove_unlisted(writer)
    writer.check()
    denylist = add_to_denylist(shards, added | content_denials_of(writer, added, on_fault), writer.temporary)
    entries, deleted, rewritten = [], [], []
    for entry in manifest.shards:
        denied = _denied_clips(shards, entry, denylist, on_fault, keys=removed)
        positions = {position: key for (position, key), _, _ in denied}
        if not positions:
            entries.append(entry)
            continue
        entries.append(_rewrite_shard(writer, entry, positions, on_fault))
        rewritten.append(entries[-1].shard)
        deleted += list(positions.values())
    tombstones = [*manifest.tombstones, *(Tombstone(key=key, reason=reason) for key in deleted)]
    tombstones.sort(key=lambda tombstone: tombstone.key)
    gone = {tombstone.key for tombstone in tombstones} | set(removed)
    selection_sha256 = publish_selection_without(writer, manifest.selection_sha256, gone, denylist)
    if deleted or selection_sha256 != manifest.selection_sha256:
        after = replace(
            manifest, shards=tuple(entries), tombstones=tuple(tombstones), selection_sha256=selection_sha256
        )
        writer.commit(manifest, after)
        manifest = _remove_unlisted(writer)
    return DeletionReport(keys=tuple(deleted), tombstones=len(manifest.tombstones), rewritten=tuple(rewritten))


def refuse_unlisted(shards: Path) -> None:
    """Raise FaultError for a shard or a sidecar that the manifest does not list: it may hold what was deleted."""
    listed = {entry.shard for entry in read_manifest(shards).shards}
    expected = listed | {sidecar_path(Path(name)).name for name in listed}
    for path in sorted(shards.iterdir()):
        if path.name.endswith((".tar", index.SUFFIX)) and path.name not in expected:
            raise FaultError(f"{path}: is still there, though the manifest does not list it")


_DeniedClip = tuple[tuple[int, str], list[Denial], StoredRecord | None]


def _denied_clips(
    shards: Path,
    entry: ShardEntry,
    denylist: Denylist,
    on_fault: OnFault,
    *,
    keys: Collection[str] = (),
    reads_records: bool = False,
) -> Iterator[_DeniedClip]:
    """Yield (position in the shard as packed, key), the entries that forbid it and its record, of each denied clip.

    The record is read where an entry asks for it, as it alone knows speaker and content and reading it costs time, or
    of every denied clip with `reads_records`; else it is None, as it is where it is damaged.

    Args:
        keys: of clips that are denied in any case.
    """
    asks = {denial.source for denial in denylist.denials if denial.kind == "speaker"} & entry.clips.keys()
    asks_records = bool(asks) or denylist.has_content
    sources = {denial.source for denial in denylist.denials} | {key.partition("-")[0] for key in keys}
    if not asks_records and not sources & entry.clips.keys():
        return
    reader = _open_shard(shards, entry, on_fault)
    if reader is None:
        return
    with reader:
        clips = reader.index.by_key()
        for position, key in zip(reader.index.positions(), clips, strict=True):
            denials, record = list(denylist.match_key(key)), None
            if asks_records or (denials and reads_records):
                try:
                    record = read_stored_record(reader.read(clips[key]["json"]), key)
                except (FaultError, KeyError) as error:
                    if not denials and key not in keys:
                        fault = error if isinstance(error, FaultError) else f"{entry.shard}: clip {key} has no record"
                        on_fault(f"{fault}; whose clip it is is not known. `key {key}` in a list deletes it")
                else:
                    denials += _input_span(record).match(denylist)
            if denials or key in keys:
                yield (position, key), denials, record


def _open_shard(shards: Path, entry: ShardEntry, on_fault: OnFault) -> ShardReader | None:
    """Return the reader of a shard, truncated or not; None where it tells nothing, after a call of `on_fault`."""
    shard = shards / entry.shard
    try:
        if hashlib.sha256(read_bytes(sidecar_path(shard))).hexdigest() != entry.index_sha256:
            raise FaultError(f"{sidecar_path(shard)}: damaged (its SHA-256 is not the manifest's)")
        return ShardReader(shard, checks_size=False)
    except (FaultError, OSError) as error:
        raise_machine_fault(error)
        on_fault(
            f"{error}; {entry.shard} was not looked through, and may hold what was named. Restore the file, and start "
            "the same command again"
        )
        return None


def _input_span(record: StoredRecord) -> InputSpan:
    """Return what a record tells of its input. Of a range it knows the clip's own part of the file alone."""
    if isinstance(record, PictureRecord):
        return InputSpan(
            source=record.source,
            video_id=record.video_id,
            speaker=record.speaker,
            sha256=record.input_sha256,
            span=record.span,
        )
    is_range = record.file_sha256 is not None and is_time_range(record.start_s, record.start_s)
    file_span = shift_span(record.span, record.start_s or 0.0) if is_range else None
    return InputSpan(
        source=record.source,
        video_id=record.video_id,
        speaker=record.speaker,
        sha256=record.input_sha256,
        span=record.span,
        file_sha256=record.file_sha256 if is_range else None,
        file_span=file_span,
        extent=file_span,
    )


def _rewrite_shard(writer: ShardWriter, entry: ShardEntry, positions: dict[int, str], on_fault: OnFault) -> ShardEntry:
    """Publish the shard without the clips at `positions` beside the old shard; return its entry for the manifest."""
    old = writer.shards / entry.shard
    unnamed = writer.temporary / "shard.tar"
    (source,) = entry.clips
    with ShardReader(old, checks_size=False) as reader:
        tar, frames = TarWriter(unnamed), 0
        for key, members in reader.index.by_key().items():
            if key not in positions.values():
                start, stop = key_frames(key)
                frames += stop - start
                for extension in sorted(members):
                    _copy_member(reader, members[extension], tar, on_fault)
        size, digest = tar.close()
        times = entry.rewritten + 1
        # Named by its content: two writers that delete different clips never use the same name.
        name = f"{Path(entry.original.shard).stem}-r{times}-{digest[:12]}.tar"
        deleted = tuple(sorted({*reader.index.deleted, *positions}))
        clips = {source: reader.index.clips[source] - len(positions)}
        new_index = replace(
            reader.index,
            shard=name,
            size_bytes=size,
            sha256=digest,
            clips=clips,
            seconds={source: frames / FRAMES_PER_SECOND},
            members=tuple(tar.members),
            deleted=deleted,
        )
    data = new_index.to_json()
    side = sidecar_path(writer.temporary / name)
    durable_io.write(side, data)
    writer.check()
    # The tar first: a shard exists if and only if its sidecar does.
    durable_io.publish_file(unnamed, writer.shards / name)
    durable_io.publish_file(side, writer.shards / side.name)
    return replace(
        entry,
        shard=name,
        bytes=size,
        sha256=digest,
        index_sha256=hashlib.sha256(data).hexdigest(),
        seconds=new_index.seconds,
        order=entry.original,
        rewritten=times,
        deleted=len(deleted),
    )


def _copy_member(reader: ShardReader, member: Member, tar: TarWriter, on_fault: OnFault) -> None:
    try:
        tar.add(member.name, reader.read(member))
    except FaultError as error:
        on_fault(f"{error}; it was not named, and is carried along")
        tar.add(member.name, reader.read_damaged(member), member.crc32)


def _remove_unlisted(writer: ShardWriter) -> ShardManifest:
    """Return the manifest in force, after removing every version of a listed shard that it does not list."""
    # Listed before the manifest is read: what a later writer publishes is not in this list.
    paths = [path for path in sorted(writer.shards.iterdir()) if path.name.endswith((".tar", index.SUFFIX))]
    manifest = writer.read_newest()
    listed = {entry.shard for entry in manifest.shards}
    originals = {Path(entry.original.shard).stem for entry in manifest.shards}
    for path in paths:
        match = _VERSION.fullmatch(path.name)
        shard = path.name.removesuffix(index.SUFFIX).removesuffix(".tar") + ".tar"
        if match and match[1] in originals and shard not in listed:
            writer.remove(path)
    settle_selection(writer, manifest.selection_sha256)
    return manifest
