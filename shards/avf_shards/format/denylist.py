"""The denylist: what was taken down, and may come back in no run and no folder of shards.

    RUN/denylist-0123456789abcdef.json, SHARDS/denylist-0123456789abcdef.json

Each takedown adds a file, which is named by its content and never changed. The denylist of a folder is the union of its
files: two takedowns at once add two files, one that is repeated adds none, and lists of several folders are merged by
copying. A file holds a digest of itself, and a damaged one stops the command that reads it: it never counts as empty.

An entry holds no name, but a hash of it: 32 hexadecimal digits for a video, as in clip keys, and for a speaker.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import seal, unseal
from avf_shards.schema.clip_key import is_key, make_video_prefix
from avf_shards.schema.fields import Fields
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes, retry_read
from avf_shards.timeline import Span

DenialKind = Literal["video", "speaker", "content"]
_FILE = re.compile(r"denylist-[0-9a-f]{16}\.json")
_SHORT_DIGITS = 12  # of the hash of a video's id in older keys
_MOST_FRAME_DIGITS = 12  # of a frame number in a key: more than a thousand years of video
_SHORT_KEY = "video by an older key"
_DIGEST = {
    "video": re.compile(r"[0-9a-f]{32}|[0-9a-f]{12}"),
    "speaker": re.compile(r"[0-9a-f]{32}"),
    "content": re.compile(r"[0-9a-f]{64}"),
}


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One thing that may not come back: a video, all videos of a speaker, or the bytes of an input file."""

    kind: DenialKind
    source: str  # that the video or the speaker belongs to; empty for content, which is denied in every source
    digest: str  # hash of the video's id or of the speaker's name; the SHA-256 of an input file
    span: Span | None = None  # what overlaps it is denied, of a video or of content; None: all of it
    date: str = field(default="", compare=False)  # of the takedown in UTC, as 2026-01-31
    reason: str = field(default="", compare=False)  # as the person gave it who took it down

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the entry."""
        span = None if self.span is None else [self.span.start_frame, self.span.stop_frame]
        return asdict(self) | {"span": span}

    @classmethod
    def from_fields(cls, fields: Fields) -> "Denial":
        """Return the entry in a JSON object. Raises FaultError."""
        kind: Any = fields.text("kind")
        if kind not in get_args(DenialKind):
            raise FaultError(f"{fields.where}: kind must be one of {', '.join(get_args(DenialKind))}, and is {kind!r}")
        digest = fields.text("digest")
        if not _DIGEST[kind].fullmatch(digest):
            raise FaultError(f"{fields.where}: {digest[:80]!r} is no digest of a {kind}")
        span = None
        if fields.values.get("span") is not None:
            match fields.items("span"):
                case [int() as start, int() as stop] if 0 <= start < stop:
                    span = Span(start, stop)
                case value:
                    raise FaultError(f"{fields.where}: span must be [start, stop) in frames, and is {str(value)[:60]}")
        return cls(
            kind=kind,
            source=fields.text("source"),
            digest=digest,
            span=span,
            date=fields.text("date"),
            reason=fields.text("reason"),
        )


@dataclass(frozen=True, kw_only=True)
class Denylist:
    """The entries of one or more denylists. Two entries that differ in date or reason alone are one."""

    denials: tuple[Denial, ...] = ()

    def __or__(self, other: "Denylist") -> "Denylist":
        """Return the entries of both, each once; of equal ones the first stays."""
        return Denylist(denials=tuple(dict.fromkeys((*self.denials, *other.denials))))

    def __sub__(self, other: "Denylist") -> "Denylist":
        """Return the entries that the other list lacks."""
        present = set(other.denials)
        return Denylist(denials=tuple(denial for denial in self.denials if denial not in present))

    def __bool__(self) -> bool:
        return bool(self.denials)

    @cached_property
    def _by_digest(self) -> dict[tuple[str, str, str], list[Denial]]:
        table: dict[tuple[str, str, str], list[Denial]] = {}
        for denial in self.denials:
            table.setdefault((denial.kind, denial.source, denial.digest), []).append(denial)
            if denial.kind == "video" and len(denial.digest) > _SHORT_DIGITS:  # an older key of the same video
                table.setdefault((_SHORT_KEY, denial.source, denial.digest[:_SHORT_DIGITS]), []).append(denial)
        return table

    @property
    def has_content(self) -> bool:
        """Whether an entry forbids bytes, so that inputs and records have to be looked at."""
        return any(denial.kind == "content" for denial in self.denials)

    @property
    def has_speakers(self) -> bool:
        """Whether an entry forbids a speaker, so that records have to be looked at."""
        return any(denial.kind == "speaker" for denial in self.denials)

    def match_input(
        self,
        source: str,
        video_id: str,
        *,
        speaker: str | None = None,
        sha256: Iterable[str | None] = (),
        span: Span | None = None,
    ) -> Iterator[Denial]:
        """Yield the entries that forbid a span of an input.

        Args:
            sha256: of the input, as far as it is known.
            span: None asks for the whole input: an entry with a span does not forbid that.
        """
        digest = make_video_prefix(source, video_id).rpartition("-")[2]
        names = [("video", source, digest), ("video", source, digest[:_SHORT_DIGITS])]
        if speaker is not None:
            names.append(("speaker", source, speaker_digest(source, speaker)))
        names += [("content", "", digest) for digest in sha256 if digest]
        return self._match(names, span)

    def match_files(self, sha256: Iterable[str | None], span: Span | None) -> Iterator[Denial]:
        """Yield the entries of content that forbid a span of files, on the timeline of the files."""
        return self._match([("content", "", digest) for digest in sha256 if digest], span)

    def match_key(self, key: str) -> Iterator[Denial]:
        """Yield the entries that forbid the clip of this key by its video and span."""
        source, digest, start, stop, _ = key.split("-")
        names = [("video", source, digest)]
        if len(digest) == _SHORT_DIGITS:
            names.append((_SHORT_KEY, source, digest))
        else:
            names.append(("video", source, digest[:_SHORT_DIGITS]))
        return self._match(names, Span(int(start), int(stop)))

    def denies_key(self, key: str) -> bool:
        """Return whether an entry forbids the clip of this key by its video and span."""
        return any(True for _ in self.match_key(key))

    def _match(self, names: Iterable[tuple[str, str, str]], span: Span | None) -> Iterator[Denial]:
        for name in names:
            for denial in self._by_digest.get(name, ()):
                if denial.span is None or (span is not None and _overlap(denial.span, span)):
                    yield denial

    def digest(self) -> str:
        """Return the SHA-256 of what is denied, whatever its order, dates and reasons are."""
        entries = sorted(str(replace(denial, date="", reason="")) for denial in self.denials)
        return hashlib.sha256("\n".join(entries).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of a file with these entries; the same entries give the same bytes."""
        entries = [denial.to_json() for denial in self.denials]
        entries.sort(key=lambda entry: (entry["kind"], entry["source"], entry["digest"], entry["span"] or []))
        return seal({"entries": entries}, "denylist")

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Denylist":
        """Return the entries in the content of a file; `where` names it in messages.

        Raises FaultError for a damaged file, UserError for a newer version.
        """
        fields = Fields(unseal(data, "denylist", where), where)
        entries = [Fields.from_value(entry, f"{where}: an entry") for entry in fields.items("entries")]
        return cls(denials=tuple(Denial.from_fields(entry) for entry in entries))


NOTHING_DENIED = Denylist()


def speaker_digest(source: str, name: str) -> str:
    """Return the hash that stands for a speaker in a denylist."""
    return hashlib.sha256(f"{source}\0{name}".encode()).hexdigest()[:32]


def deny_video(source: str, video_id: str, date: str, reason: str) -> Denial:
    """Return the entry that forbids a video."""
    digest = make_video_prefix(source, video_id).rpartition("-")[2]
    return Denial(kind="video", source=source, digest=digest, date=date, reason=reason)


def deny_speaker(source: str, name: str, date: str, reason: str) -> Denial:
    """Return the entry that forbids all videos of a speaker."""
    return Denial(kind="speaker", source=source, digest=speaker_digest(source, name), date=date, reason=reason)


def deny_key(key: str, date: str, reason: str) -> Denial:
    """Return the entry that forbids the span of a clip, of every person in it, as their sound is the same."""
    if not is_key(key):
        raise UserError(f"{key!r}: not a clip's key; avf-shards ls SHARDS --keys lists them")
    source, digest, start, stop, _ = key.split("-")
    if max(len(start), len(stop)) > _MOST_FRAME_DIGITS or not int(start) < int(stop):
        raise UserError(f"{key[:120]!r}: not a clip's key; its first frame must lie before its end")
    span = Span(int(start), int(stop))
    return Denial(kind="video", source=source, digest=digest, span=span, date=date, reason=reason)


def deny_content(sha256: str, date: str, reason: str, span: Span | None = None) -> Denial:
    """Return the entry that forbids the bytes of an input file, or a span of them, whatever its name is."""
    if not _DIGEST["content"].fullmatch(sha256):
        raise UserError(f"{sha256[:80]!r}: not a SHA-256 in 64 hexadecimal digits; sha256sum FILE prints it")
    return Denial(kind="content", source="", digest=sha256, span=span, date=date, reason=reason)


def is_denylist_name(name: str) -> bool:
    """Return whether a file of this name is a part of a folder's denylist."""
    return _FILE.fullmatch(name) is not None


def read_denylist(folder: Path) -> Denylist:
    """Return the denylist of a run or of a folder of shards.

    Raises FaultError for a damaged file, or one whose content is not what its name says, UserError for a newer version.
    """
    denylist = Denylist()
    try:
        # Not `glob`, which takes a folder that cannot be listed for an empty one.
        names = retry_read(lambda: os.listdir(folder), folder)
    except FileNotFoundError:
        return denylist
    for path in sorted(folder / name for name in names if name.startswith("denylist-")):
        data = read_bytes(path)
        denylist |= Denylist.from_json(data, str(path))
        if path.name != _file_name(data):
            raise FaultError(f"{path}: damaged (its content has the name {_file_name(data)})")
    return denylist


def add_to_denylist(folder: Path, added: Denylist, temporary: Path) -> Denylist:
    """Add entries to the denylist of a folder, durably, and return all that it has then. Raises as `read_denylist`.

    Args:
        temporary: a folder on the same file system, in which no other process works.
    """
    present = read_denylist(folder)
    if not (new := added - present):
        return present
    data = new.to_json()
    Denylist.from_json(data, "the new entries")  # nothing is written that no reader takes
    path = temporary / _file_name(data)
    durable_io.write(path, data)
    try:
        durable_io.publish_file(path, folder / path.name)
    except durable_io.AlreadyExistsError:  # another process added the same entries: the name says the content
        durable_io.remove(path)
    return present | new


def _file_name(data: bytes) -> str:
    return f"denylist-{hashlib.sha256(data).hexdigest()[:16]}.json"


def _overlap(first: Span, second: Span) -> bool:
    return first.start_frame < second.stop_frame and second.start_frame < first.stop_frame
