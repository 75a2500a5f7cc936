"""The sidecar of a shard, `NAME.index.json`: offset, size and CRC of each member, and the digest of the shard."""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from avf_shards.errors import FaultError
from avf_shards.format.tar import BLOCK, END, Member, header, read_member
from avf_shards.schema.clip_key import is_key
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import parse_json, stamp
from avf_shards.system.storage_faults import name_path, open_plain, read_bytes

SUFFIX = ".index.json"
MEMBERS_PER_CLIP = ("flac", "json", "mp4")
FINGERPRINT = "fingerprint"
"""A clip's sound fingerprint as bytes, for `pack`: this file stays with the run, and shards have it in the record."""
_EXTENSIONS = (*MEMBERS_PER_CLIP, "frames", FINGERPRINT, "jpg", "png")


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The content of a shard: its size and digest, the clips of each source, and the position of each member."""

    shard: str  # file name
    size_bytes: int  # of the tar file
    sha256: str  # of the whole shard, in hexadecimal digits
    clips: dict[str, int]  # source -> clips
    seconds: dict[str, float]  # source -> seconds of its clips
    members: tuple[Member, ...]  # in the order of the file
    deleted: tuple[int, ...] = ()  # positions of clips that were deleted; no other clip takes them

    def to_json(self) -> bytes:
        """Return the content of the sidecar; the same index gives the same bytes."""
        values = stamp(asdict(self), "shard index")
        values["members"] = [list(asdict(member).values()) for member in self.members]
        if not self.deleted:
            del values["deleted"]
        return (json.dumps(values, sort_keys=True) + "\n").encode()

    def check_size(self, size_bytes: int) -> None:
        """Raise FaultError unless the shard is as long as it was written."""
        if size_bytes != self.size_bytes:
            fault = "truncated" if size_bytes < self.size_bytes else "longer than written"
            raise FaultError(f"{self.shard}: {size_bytes} bytes, its index says {self.size_bytes} ({fault})")

    def positions(self) -> list[int]:
        """Return the position of each clip of `by_key`: its number in the shard as packed."""
        deleted = set(self.deleted)
        return [position for position in range(len(self.by_key()) + len(deleted)) if position not in deleted]

    def by_key(self) -> dict[str, dict[str, Member]]:
        """Return clip key -> extension -> member, in the order of the shard."""
        clips: dict[str, dict[str, Member]] = {}
        for member in self.members:
            key, extension = member.name.split(".", 1)
            clips.setdefault(key, {})[extension] = member
        return clips


def sidecar_path(shard: Path) -> Path:
    """Return the path of a shard's sidecar: `a.tar` -> `a.index.json`."""
    return shard.with_name(shard.name.removesuffix(".tar") + SUFFIX)


def load_index(path: Path) -> ShardIndex:
    """Return the sidecar at `path`.

    Raises FaultError when it is missing, damaged or lists a name that is no clip's, UserError for a newer version.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise FaultError(f"{path}: missing; without its index the shard cannot be trusted") from None
    return parse_index(data, str(path))


def parse_index(data: bytes, name: str) -> ShardIndex:
    """Return the index in the content of a sidecar; `name` names the file in messages. Raises as `load_index`."""
    fields = Fields(parse_json(data, "shard index", name), name)
    seconds = fields.table("seconds")
    deleted = fields.items("deleted") if "deleted" in fields.values else []
    if not all(type(position) is int and position >= 0 for position in deleted):
        raise FaultError(f"{name}: deleted must be a list of positions, whole numbers from 0 on")
    shard = fields.text("shard")
    if PurePosixPath(shard).name != shard or not shard.endswith(".tar"):  # readers open it beside the sidecar
        raise FaultError(f"{name}: shard {shard!r} must be the name of a .tar file beside it")
    size_bytes = fields.integer("size_bytes")
    members = tuple(_parse_member(row, name) for row in fields.items("members"))
    for member in members:
        if member.offset + member.size > size_bytes:  # it would be asked of the system, as memory too
            raise FaultError(f"{name}: member {member.name}: ends behind the {size_bytes} bytes of the shard")
    return ShardIndex(
        shard=shard,
        size_bytes=size_bytes,
        sha256=fields.text("sha256"),
        clips=fields.integers("clips"),
        seconds={source: seconds.number(source) for source in seconds.values},
        members=members,
        deleted=tuple(deleted),
    )


def _parse_member(row: object, where: str) -> Member:
    """Return the member of one row, [name, offset, size, CRC-32]. Raises FaultError."""
    match row:
        case [str() as name, int() as offset, int() as size, int() as crc32]:
            pass
        case _:
            raise FaultError(f"{where}: a member must be [name, offset, size, CRC-32], and is {str(row)[:60]}")
    if bool in map(type, (offset, size, crc32)) or offset < BLOCK or size < 0:
        raise FaultError(
            f"{where}: member {name}: offset {offset!r} must be a whole number from {BLOCK} on, and "
            f"size {size!r} one from 0 on"
        )
    key, _, extension = name.partition(".")
    if not is_key(key) or extension not in _EXTENSIONS:
        raise FaultError(f"{where}: {name!r} cannot be the name of a file of a shard")
    return Member(name=name, offset=offset, size=size, crc32=crc32)


class ShardReader:
    """Reader of one shard. The size of the shard is checked when it is opened, each member when it is read."""

    def __init__(self, shard: Path, *, checks_size: bool = True) -> None:
        """Open the shard and its sidecar. Raises FaultError.

        Args:
            checks_size: False reads what is left of a truncated shard too.
        """
        self.path = shard
        self.index = load_index(sidecar_path(shard))
        try:
            self._handle = open_plain(shard, os.O_RDONLY)
        except FileNotFoundError:
            raise FaultError(f"{shard.name}: missing, though its index is there") from None
        size = os.fstat(self._handle).st_size
        try:
            if checks_size:
                self.index.check_size(size)
        except FaultError:
            self.close()
            raise

    def read(self, member: Member) -> bytes:
        """Return the checked payload of a member. Raises FaultError."""
        return read_member(self._handle, self.path, member)

    def read_damaged(self, member: Member) -> bytes:
        """Return the payload of a member that `read` refuses, or zeros where it may hold bytes of another member.

        It may where bytes were cut out of the shard, which is told by the header of the member and the one behind it:
        either is not in its place then. A payload with its CRC is returned in any case.
        """
        padded = member.size + -member.size % BLOCK
        with name_path(self.path):
            data = os.pread(self._handle, BLOCK + padded + BLOCK, member.offset - BLOCK)
        head, payload, behind = data[:BLOCK], data[BLOCK : BLOCK + member.size], data[BLOCK + padded :]
        next_offset = member.offset + padded + BLOCK
        following = next((each for each in self.index.members if each.offset == next_offset), None)
        end = END[:BLOCK] if following is None else header(following.name, following.size)
        is_in_place = head == header(member.name, member.size) and behind == end
        return payload if is_in_place or zlib.crc32(payload) == member.crc32 else bytes(member.size)

    def misplaced_member(self) -> Member | None:
        """Return the first member whose tar header is not where the index says; None where all are."""
        for member in self.index.members:
            with name_path(self.path):
                head = os.pread(self._handle, BLOCK, member.offset - BLOCK)
            if head != header(member.name, member.size):
                return member
        return None

    def clips(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Yield (key, extension -> payload) in the order of the shard. Raises FaultError."""
        for key, members in self.index.by_key().items():
            yield key, {extension: self.read(member) for extension, member in members.items()}

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
