"""Clips by their number in the corpus: one read for each clip, every byte checked."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.format import index
from avf_shards.format.content import Content
from avf_shards.format.corpus import Corpus, list_corpus, require_content
from avf_shards.format.index import ShardIndex
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.picture_record import PICTURE_EXTENSIONS, StoredPicture, read_stored_picture
from avf_shards.format.shard_manifest import ShardManifest
from avf_shards.format.tar import BLOCK, Member, check_member
from avf_shards.text import count_noun

from avf_training.data.storage import LocalFolder, RemoteFolder, StorageConfig, open_storage

T = TypeVar("T")
_CACHED_INDEXES = 256  # shard indexes kept in memory
_KINDS = ("mp4", "frames", "flac", "json", *PICTURE_EXTENSIONS)


class _ShardClips:
    """A shard's index in little memory: keys, and the offset, size and CRC of each clip's files of the known kinds."""

    def __init__(self, shard: ShardIndex) -> None:
        clips = dict(zip(shard.positions(), shard.by_key().items(), strict=True))
        size = len(clips) + len(shard.deleted)
        self.shard, self.keys = shard.shard, tuple(clips[n][0] if n in clips else "" for n in range(size))
        # One int64 array for each shard: a dictionary of members per clip would take many times the memory.
        self._members = np.zeros((size, len(_KINDS), 3), np.int64)
        for number, (_, members) in clips.items():
            row = self._members[number]
            for kind, member in members.items():
                row[_KINDS.index(kind)] = member.offset, member.size, member.crc32

    def members(self, number: int) -> dict[str, Member]:
        """Return the members of one clip by extension."""
        members = zip(_KINDS, self._members[number].tolist(), strict=True)
        # Content starts after a tar header, so an offset of 0 means that the clip has no such file.
        return {
            kind: Member(name=f"{self.keys[number]}.{kind}", offset=offset, size=size, crc32=crc32)
            for kind, (offset, size, crc32) in members
            if offset
        }


def read_corpus(shards: str | Path, config: StorageConfig, content: Content = "clips") -> Corpus:
    """Return the corpus at a folder or address.

    Raises UserError without a manifest or where the shards hold something else than `content`, FaultError for a
    damaged manifest.
    """
    try:
        data = open_storage(shards, config).read_file(MANIFEST, "")
    except FaultError:
        raise UserError(
            f"{shards}: has no {MANIFEST}; a finished `avf-shards pack RUN --out SHARDS` writes it"
        ) from None
    corpus = list_corpus(ShardManifest.from_json(data, f"{str(shards).rstrip('/')}/{MANIFEST}"), str(shards))
    require_content(corpus, content, str(shards))
    return corpus


class ClipReader:
    """Reads the clips of shards by number and checks the CRC and the header of each file.

    A reader can be sent to worker processes and used by several threads.
    """

    def __init__(self, shards: str | Path, config: StorageConfig, corpus: Corpus, record: bool = False) -> None:
        """Open the storage of the shards. record: read `KEY.json` as well."""
        self.shards, self.config, self.corpus, self.record = shards, config, corpus, record
        self._storage: LocalFolder | RemoteFolder = open_storage(shards, config)
        self._indexes: OrderedDict[int, _ShardClips] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        # Pickled without open files, locks and indexes: another process opens its own.
        return ClipReader, (self.shards, self.config, self.corpus, self.record)

    def key(self, clip: int) -> str:
        """Return the key of a clip of the corpus, from its shard's index. Raises FaultError."""
        shard, number = self._follow_deletions(clip, lambda: self._locate(clip))
        return shard.keys[number]

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the files of a clip by extension: mp4 or frames, flac, and json if asked for.

        A file that does not match its checksum is read once more, past any cache, before it counts as damaged.

        Raises:
            DeletedClipError: the clip was deleted from the shards.
            FaultError: a file of the clip is missing or damaged.
        """
        return self._files(clip, ("video", "flac", "json") if self.record else ("video", "flac"))

    def read_picture(self, clip: int) -> StoredPicture:
        """Return a picture of a corpus of pictures: its record, and the encoded picture. Raises as `read`."""
        return read_stored_picture(self._files(clip, ("picture", "json")), f"{self.shards}: picture {clip}")

    def read_record(self, clip: int) -> bytes:
        """Return only the `KEY.json` of a clip. Raises as `read`."""
        return self._files(clip, ("json",))["json"]

    def _files(self, clip: int, kinds: tuple[str, ...]) -> dict[str, bytes]:
        return self._follow_deletions(clip, lambda: self._files_as_listed(clip, kinds))

    def _follow_deletions(self, clip: int, read: Callable[[], T]) -> T:
        """Return `read()`, called once more where it fails and the manifest lists another version of the shard now."""
        version = self._version(clip)
        try:
            return read()
        except DeletedClipError:
            raise
        except FaultError:
            if not self._follow_rewritten_shards(clip, version):
                raise
            return read()

    def _version(self, clip: int) -> str:
        """Return the digest of the index that the manifest lists for the shard of a clip."""
        return self.corpus.index_sha256[self.corpus.locate(clip)[0]]

    def _follow_rewritten_shards(self, clip: int, version: str) -> bool:
        """Read the manifest again, and return whether it lists another index than `version` for the shard of a clip.

        A deletion rewrites shards under a running training and removes the old ones. Their clips keep their positions,
        so the order goes on; a manifest of another order is not followed.
        """
        with self._lock:
            if self._version(clip) == version:  # otherwise another thread has read the new manifest
                corpus = read_corpus(self.shards, self.config, self.corpus.content)
                if corpus.digest != self.corpus.digest:
                    return False
                self.corpus = corpus
                self._indexes.clear()
            return self._version(clip) != version

    def _files_as_listed(self, clip: int, kinds: tuple[str, ...]) -> dict[str, bytes]:
        clips, number = self._locate(clip)
        shard, key, members = clips.shard, clips.keys[number], clips.members(number)
        if not key:
            raise DeletedClipError(f"{shard}: {self.corpus.noun} {number} was deleted")
        chosen = {
            "video": "frames" if "frames" in members else "mp4",
            "picture": "png" if "png" in members else "jpg",
        }
        extensions = tuple(chosen.get(kind, kind) for kind in kinds)
        missing = set(extensions) - members.keys()
        if missing:
            raise FaultError(f"{shard}: {self.corpus.noun} {key} has no {' and no '.join(sorted(missing))}")
        wanted = {kind: members[kind] for kind in extensions}
        try:
            return self._read_members(clip, shard, wanted, fresh=False)
        except FaultError:  # the cached copy may be the damaged one
            return self._read_members(clip, shard, wanted, fresh=True)

    def _read_members(self, clip: int, shard: str, members: dict[str, Member], *, fresh: bool) -> dict[str, bytes]:
        """Read the members, which lie side by side in the tar, with one request."""
        start = min(member.offset for member in members.values()) - BLOCK
        stop = max(member.offset + member.size for member in members.values())
        version = self._version(clip)
        data = memoryview(self._storage.read_range(shard, version, start, stop, fresh=fresh))
        return {
            kind: check_member(data[member.offset - BLOCK - start : member.offset + member.size - start], shard, member)
            for kind, member in members.items()
        }

    def _locate(self, clip: int) -> tuple[_ShardClips, int]:
        """Return the index of a clip's shard, and the clip's number in that shard."""
        shard_number, number = self.corpus.locate(clip)
        with self._lock:  # threads that read ahead share the indexes
            if shard_number not in self._indexes:
                self._indexes[shard_number] = self._read_index(shard_number)
                if len(self._indexes) > _CACHED_INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(shard_number)
            clips = self._indexes[shard_number]
        if number >= len(clips.keys):
            noun = self.corpus.noun
            raise FaultError(
                f"{clips.shard}: has {count_noun(len(clips.keys), noun)} in its index, {noun} {number} was asked for"
            )
        return clips, number

    def _read_index(self, shard_number: int) -> _ShardClips:
        """Return the index that the manifest lists for a shard, after checking the shard's size against it."""
        shard, version = self.corpus.shards[shard_number], self.corpus.index_sha256[shard_number]
        name = index.sidecar_path(Path(shard)).name
        try:
            data = self._storage.read_file(name, version)
        except FaultError:
            raise FaultError(f"{name}: missing; without its index the shard cannot be trusted") from None
        if hashlib.sha256(data).hexdigest() != version:
            raise FaultError(f"{name}: is not the index that {MANIFEST} lists")
        shard_index = index.parse_index(data, name)
        shard_index.check_size(self._storage.size(shard))
        return _ShardClips(shard_index)

    def close(self) -> None:
        """Close every shard."""
        self._storage.close()
