"""Clips by their place in the corpus: one read a clip, every byte checked."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.format import index
from avf_shards.format.corpus import Corpus, parse_corpus
from avf_shards.format.index import ShardIndex
from avf_shards.format.manifest import MANIFEST, unseal
from avf_shards.format.tar import BLOCK, Member, check_member

from avf_training.data.storage import LocalFolder, RemoteFolder, StorageConfig, open_storage

_KEPT_INDEXES = 256
_KINDS = ("mp4", "frames", "flac", "json")


class _Clips:
    """A shard's index in little memory: keys, and where each of the four kinds of file lies."""

    def __init__(self, shard: ShardIndex) -> None:
        clips = dict(zip(shard.places(), shard.by_key().items(), strict=True))
        size = len(clips) + len(shard.deleted)
        self.shard, self.keys = shard.shard, tuple(clips[n][0] if n in clips else "" for n in range(size))
        self._where = np.zeros((size, len(_KINDS), 3), np.int64)
        for place, (_, members) in clips.items():
            row = self._where[place]
            for kind, member in members.items():
                row[_KINDS.index(kind)] = member.offset, member.size, member.crc32

    def members(self, place: int) -> dict[str, Member]:
        """Extension -> member of one clip; payloads start after a header, so that an offset of 0 is none."""
        members = zip(_KINDS, self._where[place].tolist(), strict=True)
        return {
            kind: Member(name=f"{self.keys[place]}.{kind}", offset=offset, size=size, crc32=crc32)
            for kind, (offset, size, crc32) in members
            if offset
        }


def read_corpus(shards: str | Path, config: StorageConfig) -> Corpus:
    """The corpus at a folder or address. Raises UserError without a manifest, FaultError for a damaged one."""
    try:
        data = open_storage(shards, config).whole(MANIFEST, "")
    except FaultError:
        raise UserError(
            f"{shards}: has no {MANIFEST}; a finished `avf-shards pack RUN --out SHARDS` writes it"
        ) from None
    return parse_corpus(unseal(data), str(shards))


class ClipReader:
    """Reads clips of shards by number (CRC and header of each file checked). Safe to send to workers, and to threads.

    record: read `KEY.json` too.
    """

    def __init__(self, shards: str | Path, config: StorageConfig, corpus: Corpus, record: bool = False) -> None:
        self.shards, self.config, self.corpus, self.record = shards, config, corpus, record
        self._storage: LocalFolder | RemoteFolder = open_storage(shards, config)
        self._indexes: OrderedDict[int, _Clips] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return ClipReader, (self.shards, self.config, self.corpus, self.record)  # handles stay in their process

    def key(self, clip: int) -> str:
        """Key of clip `clip` of the corpus, from its shard's index. Raises FaultError."""
        shard, place = self._found(clip)
        return shard.keys[place]

    def read(self, clip: int) -> dict[str, bytes]:
        """Extension -> bytes of clip `clip` of the corpus: mp4 or frames, flac, json if asked for. Raises FaultError.

        What does not match its checksum is read once more, past any cache, before it counts as damaged.
        """
        return self._files(clip, ("video", "flac", "json") if self.record else ("video", "flac"))

    def read_record(self, clip: int) -> bytes:
        """`KEY.json` of a clip alone. Raises as `read`."""
        return self._files(clip, ("json",))["json"]

    def _files(self, clip: int, kinds: tuple[str, ...]) -> dict[str, bytes]:
        found, place = self._found(clip)
        shard, key, members = found.shard, found.keys[place], found.members(place)
        if not key:
            raise DeletedClipError(f"{shard}: clip {place} was deleted")
        video = "frames" if "frames" in members else "mp4"
        wanted = tuple(video if kind == "video" else kind for kind in kinds)
        missing = set(wanted) - members.keys()
        if missing:
            raise FaultError(f"{shard}: clip {key} has no {' and no '.join(sorted(missing))}")
        chosen = {kind: members[kind] for kind in wanted}
        try:
            return self._read(clip, shard, chosen, False)
        except FaultError:
            return self._read(clip, shard, chosen, True)

    def _read(self, clip: int, shard: str, members: dict[str, Member], fresh: bool) -> dict[str, bytes]:
        start = min(member.offset for member in members.values()) - BLOCK
        stop = max(member.offset + member.size for member in members.values())
        version = self.corpus.index_sha256[self.corpus.place(clip)[0]]
        data = memoryview(self._storage.range(shard, version, start, stop, fresh))
        return {
            kind: check_member(data[member.offset - BLOCK - start : member.offset + member.size - start], shard, member)
            for kind, member in members.items()
        }

    def _found(self, clip: int) -> tuple[_Clips, int]:
        """A clip's shard, and its place there."""
        number, place = self.corpus.place(clip)
        with self._lock:
            if number not in self._indexes:
                self._indexes[number] = self._index(number)
                if len(self._indexes) > _KEPT_INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(number)
            found = self._indexes[number]
        if place >= len(found.keys):
            raise FaultError(f"{found.shard}: has {len(found.keys)} clips in its index, clip {place} was asked for")
        return found, place

    def _index(self, number: int) -> _Clips:
        """A shard's index, the one that the manifest means, of a shard that is as long as it says."""
        shard, version = self.corpus.shards[number], self.corpus.index_sha256[number]
        name = index.sidecar_path(Path(shard)).name
        try:
            data = self._storage.whole(name, version)
        except FaultError:
            raise FaultError(f"{name}: missing; without its index the shard cannot be trusted") from None
        if hashlib.sha256(data).hexdigest() != version:
            raise FaultError(f"{name}: is not the index that {MANIFEST} lists")
        found = index.parse_index(data, name)
        found.check_size(self._storage.size(shard))
        return _Clips(found)

    def close(self) -> None:
        """Close every shard."""
        self._storage.close()
