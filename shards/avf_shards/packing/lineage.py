"""The lineage of a clip: from its key back to the input that the clip was cut from, with the score of every check."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.index import ShardReader
from avf_shards.format.picture_record import PictureRecord, StoredRecord, read_stored_record
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.schema.clip_key import is_key
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.text import printable, shell_word


def find_clips(shards: Path, keys: Iterable[str]) -> dict[str, tuple[str, dict[str, bytes]]]:
    """Return key -> (shard, extension -> payload) in the order of `keys`.

    Raises UserError for a text that is not a key and for a key that is not in the shards.
    """
    keys = list(dict.fromkeys(keys))
    for key in keys:
        if not is_key(key):
            raise UserError(f"{key!r}: not a clip's key; avf-shards ls {shell_word(shards)} --keys lists them")
    sources = {key.split("-", 1)[0] for key in keys}
    missing: set[str] = set(keys)
    clips: dict[str, tuple[str, dict[str, bytes]]] = {}
    for entry in read_manifest(shards).shards:
        if missing and sources & entry.clips.keys():
            with ShardReader(shards / entry.shard) as reader:
                members = reader.index.by_key()
                for key in missing & members.keys():
                    files = {extension: reader.read(member) for extension, member in members[key].items()}
                    clips[key] = entry.shard, files
                missing -= members.keys()
    if missing:
        raise UserError(
            f"{', '.join(sorted(missing))}: not in {shards}; avf-shards ls {shell_word(shards)} --keys lists its clips"
        )
    return {key: clips[key] for key in keys}


@dataclass(frozen=True, kw_only=True)
class TracedClip:
    """The record of a clip, and the shard that the clip lies in."""

    shard: str  # file name
    record: StoredRecord  # as stored in the shard

    def as_dict(self) -> dict[str, Any]:
        """Return the values of the record and the shard's name, for JSON."""
        return {"shard": self.shard, **self.record.as_dict()}


def trace_clips(shards: Path, keys: Iterable[str]) -> list[TracedClip]:
    """Return the records of clips, as of the `keys` of a batch, in the order of the keys.

    A record has the path, size and SHA-256 of the input, the span, and every score with its threshold. Raises
    UserError for a key that is not in the shards, FaultError for a damaged record.
    """
    return [
        TracedClip(shard=shard, record=read_stored_record(files["json"], key))
        for key, (shard, files) in find_clips(shards, keys).items()
    ]


def format_lineage(clip: TracedClip) -> str:
    """Return the lineage of one clip as text."""
    record = clip.record
    lines = [
        record.key,
        f"  shard        {clip.shard}",
        f"  input        {printable(f'{record.source}: {record.path}')}",
        f"  input bytes  {record.input_bytes}, sha256 {record.input_sha256}",
        *(_picture_lines(record) if isinstance(record, PictureRecord) else _clip_lines(record)),
        f"  fingerprint  {record.fingerprint}",
        "  backends     " + ", ".join(f"{stage}={name}" for stage, name in sorted(record.backends.items())),
        f"  {'check':<32}{'score':>10}    {'threshold':>10}",
    ]
    for check in record.checks:
        score = "cannot tell" if check.score is None else f"{check.score:.4g}"
        lines.append(f"  {f'{check.stage}/{check.reason}':<32}{score:>11} {check.operator} {check.threshold:>10.4g}")
    return "\n".join(lines)


def _clip_lines(record: ClipRecord) -> list[str]:
    span = record.span
    return [
        f"  video        {printable(f'{record.video_id} (group {record.group_id})')}",
        f"  span         frames [{span.start_frame}, {span.stop_frame}) = {span.seconds:.2f} s",
        f"  window       {record.window_px:.0f} px of the source -> {record.size_px} px",
        f"  sound        moved by {record.av_offset_ms} ms",
    ]


def _picture_lines(record: PictureRecord) -> list[str]:
    stored = f"{record.source_width_px} x {record.source_height_px} px"
    if record.window_px is not None:
        left, top, right, bottom = record.window_px
        cut = f"[{left:g}, {right:g}) x [{top:g}, {bottom:g})"
        stored = f"{cut} of {stored} -> {record.width_px} x {record.height_px} px"
    packed = [] if record.record is None else [f"  record       {record.record}"]
    person = f", person {record.identity}" if record.identity else ""
    return [*packed, f"  picture      {printable(f'{record.picture_id}{person}')}", f"  stored       {stored}"]
