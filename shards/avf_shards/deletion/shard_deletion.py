"""Delete clips from shards and prove that they are absent, while every other clip keeps its position in the order.

A shard with such a clip is written anew under another name, and its index lists the deleted positions. Replacing the
manifest puts all new shards into force at once; after a kill at any moment, the same command finishes the deletion. The
stream order counts deleted positions too, so its digest stays the same and a training run goes on: a deleted clip is
substituted as an unreadable clip is.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_shards.format.generations import ShardWriter, generation_name, is_writers_own, open_for_writing
from avf_shards.format.index import ShardReader, sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, Tombstone, read_manifest
from avf_shards.format.tar import TarWriter
from avf_shards.schema.clip_key import KEY_TAIL, is_key, video_prefix, video_prefixes
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes
from avf_shards.timeline import FRAMES_PER_SECOND

_KINDS = ("video", "speaker", "key")
_KEY_TAIL = re.compile(KEY_TAIL.encode())
_VERSION = re.compile(r"(.+?)(?:-r\d+(?:-[0-9a-f]{12})?)?\.(?:tar|index\.json)")


@dataclass(frozen=True, kw_only=True)
class DeletionRequest:
    """The videos, speakers and clips whose data is to be deleted."""

    videos: frozenset[tuple[str, str]] = frozenset()  # (source, video id)
    speakers: frozenset[tuple[str, str]] = frozenset()  # (source, name of the speaker)
    keys: frozenset[str] = frozenset()  # of single clips


@dataclass(frozen=True, kw_only=True)
class DeletionReport:
    """The result of a deletion."""

    keys: tuple[str, ...]  # of the clips that this call deleted
    tombstones: int  # clips that this call and all earlier ones deleted
    rewritten: tuple[str, ...]  # names of the new shards
    searched_bytes: int  # read in the search for the deleted clips' names


def deletion_request(
    videos: Iterable[str] = (), speakers: Iterable[str] = (), listed: Iterable[str] = ()
) -> DeletionRequest:
    """Return the request of `videos` ("SOURCE/ID"), `speakers` ("SOURCE/NAME") and the lines of a list file.

    A line is "video SOURCE/ID", "speaker SOURCE/NAME" or "key KEY". Raises UserError for any other text, and when
    nothing is named.
    """
    words = [("video", word) for word in videos] + [("speaker", word) for word in speakers]
    for number, line in enumerate(listed, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            kind, _, word = text.partition(" ")
            if kind not in _KINDS or not word.strip():
                raise UserError(
                    f"line {number}: {text!r}; a line is `video SOURCE/ID`, `speaker SOURCE/NAME` or `key KEY`"
                )
            words.append((kind, word.strip()))
    for kind, word in words:
        if kind == "key" and not is_key(word):
            raise UserError(f"{word!r}: not a clip's key; avf-shards ls SHARDS --keys lists them")
        if kind != "key" and not all(word.partition("/")[::2]):
            raise UserError(f"{word!r}: must be SOURCE/{'ID' if kind == 'video' else 'NAME'}")
    if not words:
        raise UserError("nothing named: give --video SOURCE/ID, --speaker SOURCE/NAME or --list FILE")

    def pairs(kind: str) -> frozenset[tuple[str, str]]:
        return frozenset(
            (word.partition("/")[0], word.partition("/")[2]) for word_kind, word in words if word_kind == kind
        )

    return DeletionRequest(
        videos=pairs("video"), speakers=pairs("speaker"), keys=frozenset(word for kind, word in words if kind == "key")
    )


def delete_clips(shards: Path, request: DeletionRequest, reason: str = "") -> DeletionReport:
    """Delete the clips of `request` from `shards` and return what was deleted.

    Raises UserError when no such clip is in the shards and none was deleted earlier, FaultError for a damaged shard and
    for a deleted clip whose name is still in a file.
    """
    read_manifest(shards)  # before a marker is written into what may be another folder
    with open_for_writing(shards) as writer:
        manifest, deleted, rewritten = _delete_as_writer(writer, request, reason)
        searched = check_absence(shards, [tombstone.key for tombstone in manifest.tombstones])
    return DeletionReport(
        keys=tuple(deleted), tombstones=len(manifest.tombstones), rewritten=tuple(rewritten), searched_bytes=searched
    )


def _delete_as_writer(
    writer: ShardWriter, request: DeletionRequest, reason: str
) -> tuple[ShardManifest, list[str], list[str]]:
    """Return the manifest after the deletion, the keys that were deleted now, and the names of the new shards."""
    shards = writer.shards
    # An earlier call may have been killed before it committed, which leaves new shards that nothing lists, or after,
    # which leaves the old shards.
    manifest = _remove_unlisted(writer)
    entries, deleted, rewritten = [], [], []
    for entry in manifest.shards:
        positions = _requested_positions(shards, entry, request)
        if not positions:
            entries.append(entry)
            continue
        entries.append(_rewrite_shard(writer, entry, positions))
        rewritten.append(entries[-1].shard)
        deleted += list(positions.values())
    videos = _prefixes(request)
    if not deleted and not any(
        tombstone.key in request.keys or video_prefix(tombstone.key) in videos for tombstone in manifest.tombstones
    ):
        raise UserError(f"{shards}: has no clip of what was named, and none of it was deleted here before")
    if deleted:
        tombstones = [*manifest.tombstones, *(Tombstone(key=key, reason=reason) for key in deleted)]
        tombstones.sort(key=lambda tombstone: tombstone.key)
        writer.commit(manifest, replace(manifest, shards=tuple(entries), tombstones=tuple(tombstones)))
        manifest = _remove_unlisted(writer)
    return manifest, deleted, rewritten


def check_absence(shards: Path, keys: Iterable[str]) -> int:
    """Search every file but the manifest for the names of deleted clips; return the number of bytes that were read.

    Raises FaultError with the name of the file that still holds a deleted clip.
    """
    deleted, searched = {key.encode() for key in keys}, 0
    prefixes = {key.partition(b"-")[0] + b"-" for key in deleted}  # the sources
    manifest = read_manifest(shards)
    listed = {entry.shard for entry in manifest.shards}
    expected = listed | {sidecar_path(Path(name)).name for name in listed}
    tombstones = {MANIFEST, generation_name(manifest.generation)}
    for path in sorted(shards.iterdir()):
        if path.suffix not in (".tar", ".json") or path.name in tombstones or is_writers_own(path):
            continue
        if path.name.endswith((".tar", index.SUFFIX)) and path.name not in expected:
            raise FaultError(f"{path.name}: is still there, though the manifest does not list it")
        data = read_bytes(path)
        searched += len(data)
        for match in _KEY_TAIL.finditer(data):  # one pass over the file, however many clips are deleted
            for prefix in prefixes:
                name = prefix + match[0]
                if name in deleted and data.endswith(prefix, 0, match.start()):
                    raise FaultError(f"{path.name}: still holds {name.decode()}")
    return searched


def _prefixes(request: DeletionRequest) -> frozenset[str]:
    """Return how the keys of the requested videos begin."""
    return frozenset(prefix for video in request.videos for prefix in video_prefixes(*video))


def _requested_positions(shards: Path, entry: ShardEntry, request: DeletionRequest) -> dict[int, str]:
    """Return position in the shard as packed -> key, of the clips to delete."""
    sources = {source for source, _ in request.videos | request.speakers} | {
        key.split("-", 1)[0] for key in request.keys
    }
    if not sources & entry.clips.keys():
        return {}
    positions = {}
    videos = _prefixes(request)
    names = {name for source, name in request.speakers if source in entry.clips}
    with ShardReader(shards / entry.shard) as reader:
        clips = reader.index.by_key()
        for position, key in zip(reader.index.positions(), clips, strict=True):
            requested = key in request.keys or video_prefix(key) in videos
            if not requested and names:  # only the record knows the speaker, and reading it costs time
                requested = ClipRecord.from_json(reader.read(clips[key]["json"]), key).speaker in names
            if requested:
                positions[position] = key
    return positions


def _rewrite_shard(writer: ShardWriter, entry: ShardEntry, positions: dict[int, str]) -> ShardEntry:
    """Publish the shard without the clips at `positions` beside the old shard; return its entry for the manifest."""
    old = writer.shards / entry.shard
    unnamed = writer.temporary / "shard.tar"
    (source,) = entry.clips
    with ShardReader(old) as reader:
        tar, frames = TarWriter(unnamed), 0
        for key, members in reader.index.by_key().items():
            if key not in positions.values():
                frames += int(key.split("-")[3]) - int(key.split("-")[2])
                for extension in sorted(members):
                    tar.add(f"{key}.{extension}", reader.read(members[extension]))
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
    return manifest
