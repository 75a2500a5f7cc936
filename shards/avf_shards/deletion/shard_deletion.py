"""Takedown: clips leave the shards, every other clip keeps its place in the order, and the absence is proved.

A shard that held such a clip is written anew under another name, its index notes which places are empty, and one
replace of the manifest makes it so. Killed anywhere, the same command goes on. The order of a stream counts places,
empty or not, and a training run goes on with the same digest: an empty place is filled as the place of an
unreadable clip is.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avf_shards import durable_io
from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_shards.format.index import ShardReader, sidecar_path
from avf_shards.format.manifest import MANIFEST, TOMBSTONES, read_manifest, seal
from avf_shards.format.tar import TarWriter
from avf_shards.schema.clip_key import clip_key, is_key
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.timeline import FRAMES_PER_SECOND, Span

_KINDS = ("video", "speaker", "key")
_NAMED = re.compile(rb"[0-9a-f]{12}-\d{7,}-\d{7,}-\d+")  # what follows the source in a clip's key
_REWRITTEN = re.compile(r"(.+?)(?:-r\d+)?\.(?:tar|index\.json)")


@dataclass(frozen=True, kw_only=True)
class DeletionRequest:
    """What is to be deleted. videos: (source, id); speakers: (source, name)."""

    videos: frozenset[tuple[str, str]] = frozenset()
    speakers: frozenset[tuple[str, str]] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class DeletionReport:
    """What was done. keys: clips deleted by this call; tombstones: clips deleted by all calls; searched_bytes: for
    the proof."""

    keys: tuple[str, ...]
    tombstones: int
    rewritten: tuple[str, ...]
    searched_bytes: int


def deletion_request(
    videos: Iterable[str] = (), speakers: Iterable[str] = (), listed: Iterable[str] = ()
) -> DeletionRequest:
    """From command-line words "SOURCE/ID", and lines "video SOURCE/ID", "speaker SOURCE/NAME", "key KEY".

    Raises UserError for what is none of these.
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
        return frozenset((word.partition("/")[0], word.partition("/")[2]) for found, word in words if found == kind)

    return DeletionRequest(
        videos=pairs("video"), speakers=pairs("speaker"), keys=frozenset(word for kind, word in words if kind == "key")
    )


def delete_clips(shards: Path, what: DeletionRequest, reason: str = "") -> DeletionReport:
    """Take the clips of `what` out of `shards`. Raises UserError when none is there and none ever was, FaultError."""
    manifest = read_manifest(shards)
    _clear(
        shards, manifest
    )  # what a killed start left, or what one that was killed after the manifest had still to remove
    tombstones: list[dict[str, str]] = list(manifest.get(TOMBSTONES, ()))
    entries, deleted, rewritten = [], [], []
    for entry in manifest["shards"]:
        places = _places(shards, entry, what)
        if not places:
            entries.append(entry)
            continue
        entries.append(_rewritten(shards, entry, places))
        rewritten.append(entries[-1]["shard"])
        deleted += list(places.values())
    if not deleted and not any(_asked(tombstone["key"], what) for tombstone in tombstones):
        raise UserError(f"{shards}: has no clip of what was named, and none of it was deleted here before")
    if deleted:
        tombstones = sorted(
            [*tombstones, *({"key": key, "reason": reason} for key in deleted)], key=lambda tombstone: tombstone["key"]
        )
        durable_io.replace_file(shards / MANIFEST, seal(manifest | {"shards": entries, TOMBSTONES: tombstones}))
        _clear(shards, read_manifest(shards))
    searched = check_absence(shards, [tombstone["key"] for tombstone in tombstones])
    return DeletionReport(
        keys=tuple(deleted), tombstones=len(tombstones), rewritten=tuple(rewritten), searched_bytes=searched
    )


def check_absence(shards: Path, keys: Iterable[str]) -> int:
    """Look for the names of deleted clips in every byte of every file but the tombstones; how many were read.

    Raises FaultError that names the file where one is still there.
    """
    deleted, searched = {key.encode() for key in keys}, 0
    fronts = {key.partition(b"-")[0] + b"-" for key in deleted}
    listed = {str(entry["shard"]) for entry in read_manifest(shards)["shards"]}
    expected = listed | {sidecar_path(Path(name)).name for name in listed}
    for path in sorted(shards.iterdir()):
        if path.suffix not in (".tar", ".json") or path.name == MANIFEST:
            continue
        if path.name.endswith((".tar", index.SUFFIX)) and path.name not in expected:
            raise FaultError(f"{path.name}: is still there, though the manifest does not list it")
        data = path.read_bytes()
        searched += len(data)
        for found in _NAMED.finditer(data):  # one pass, however many are deleted
            for front in fronts:
                name = front + found[0]
                if name in deleted and data.endswith(front, 0, found.start()):
                    raise FaultError(f"{path.name}: still holds {name.decode()}")
    return searched


def _asked(key: str, what: DeletionRequest) -> bool:
    source, digest, *_ = key.split("-")
    return key in what.keys or any((source, digest) == _of_video(*video) for video in what.videos)


def _of_video(source: str, video: str) -> tuple[str, str]:
    """The first two parts of the key of any clip of a video."""
    first, digest, *_ = clip_key(source, video, Span(0, 1), 0).split("-")
    return first, digest


def _places(shards: Path, entry: dict[str, Any], what: DeletionRequest) -> dict[int, str]:
    """Place in the shard -> key, of the clips that must go."""
    sources = {source for source, _ in what.videos | what.speakers} | {key.split("-", 1)[0] for key in what.keys}
    if not sources & entry["clips"].keys():
        return {}
    found = {}
    videos = {_of_video(*video) for video in what.videos}
    names = {name for source, name in what.speakers if source in entry["clips"]}
    with ShardReader(shards / Path(entry["shard"]).name) as reader:
        clips = reader.index.by_key()
        for place, key in zip(reader.index.places(), clips, strict=True):
            source, digest, *_ = key.split("-")
            hit = key in what.keys or (source, digest) in videos
            if not hit and names:
                hit = ClipRecord.from_json(reader.read(clips[key]["json"]), key).speaker in names
            if hit:
                found[place] = key
    return found


def _rewritten(shards: Path, entry: dict[str, Any], places: dict[int, str]) -> dict[str, Any]:
    """Write the shard without these places, publish it beside the old one, and say what the manifest says of it."""
    old = shards / Path(entry["shard"]).name
    order = entry.get("order", {"shard": entry["shard"], "sha256": entry["sha256"]})
    times = int(entry.get("rewritten", 0)) + 1
    name = f"{Path(order['shard']).stem}-r{times}.tar"
    temporary = shards / "tmp"
    durable_io.make_new_folder(temporary)
    (source,) = entry["clips"]
    with ShardReader(old) as reader:
        writer, frames = TarWriter(temporary / name), 0
        for key, members in reader.index.by_key().items():
            if key not in places.values():
                frames += int(key.split("-")[3]) - int(key.split("-")[2])
                for extension in sorted(members):
                    writer.add(f"{key}.{extension}", reader.read(members[extension]))
        size, digest = writer.close()
        deleted = tuple(sorted({*reader.index.deleted, *places}))
        clips = {source: reader.index.clips[source] - len(places)}
        made = replace(
            reader.index,
            shard=name,
            size_bytes=size,
            sha256=digest,
            clips=clips,
            seconds={source: frames / FRAMES_PER_SECOND},
            members=tuple(writer.members),
            deleted=deleted,
        )
    side = sidecar_path(shards / name)
    data = made.to_json()
    durable_io.write(temporary / side.name, data)
    durable_io.publish_file(temporary / name, shards / name)
    durable_io.publish_file(temporary / side.name, side)
    return entry | {
        "shard": name,
        "bytes": size,
        "sha256": digest,
        "index_sha256": hashlib.sha256(data).hexdigest(),
        "seconds": made.seconds,
        "order": order,
        "rewritten": times,
        "deleted": len(deleted),
    }


def _clear(shards: Path, manifest: dict[str, Any]) -> None:
    """Remove every version of a listed shard that the manifest does not list."""
    listed = {str(entry["shard"]) for entry in manifest["shards"]}
    originals = {Path(entry.get("order", entry)["shard"]).stem for entry in manifest["shards"]}
    for path in _versions(shards):
        found = _REWRITTEN.fullmatch(path.name)
        shard = path.name.removesuffix(index.SUFFIX).removesuffix(".tar") + ".tar"
        if found and found[1] in originals and shard not in listed:
            durable_io.remove(path)
    durable_io.remove(shards / "tmp")


def _versions(shards: Path) -> Iterator[Path]:
    return (path for path in sorted(shards.iterdir()) if path.name.endswith((".tar", index.SUFFIX)))
