"""A folder of packed shards as the stream sees it: which shards there are, whose clips, how many."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import read_manifest

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source's shards: their numbers in the corpus, and clips in each. seconds: of all its clips together."""

    name: str
    shards: Counts
    clips: Counts
    seconds: float

    @property
    def count(self) -> int:
        return int(self.clips.sum())


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """digest: of every shard's name, SHA-256 and clips as packed, so that no other data can pass for these.

    index_sha256: of each shard's sidecar. first_clip: number of each shard's first clip in the corpus, and one more:
    the number of all clips.
    """

    digest: str
    shards: tuple[str, ...]
    index_sha256: tuple[str, ...]
    first_clip: Counts
    sources: tuple[Source, ...]

    def __len__(self) -> int:
        """Clips, deleted ones too."""
        return int(self.first_clip[-1])

    def place(self, clip: int) -> tuple[int, int]:
        """(shard number, place in the shard) of a clip of the corpus."""
        shard = int(np.searchsorted(self.first_clip, clip, "right")) - 1
        return shard, clip - int(self.first_clip[shard])


def load_corpus(folder: Path) -> Corpus:
    """What the manifest of `folder` lists. Raises UserError without one, FaultError for a damaged one."""
    return parse_corpus(read_manifest(folder), str(folder))


def parse_corpus(manifest: dict[str, Any], where: str) -> Corpus:
    """What a manifest lists; `where` it lies is for messages. Raises UserError, FaultError for a name with a path."""
    listed = manifest["shards"]
    names = tuple(str(entry["shard"]) for entry in listed)
    for name in names:
        if name != Path(name).name:
            raise FaultError(f"{where}: its manifest names {name!r}, which cannot be a shard's name")
    digest = hashlib.sha256()
    mine: dict[str, list[tuple[int, int, float]]] = {}
    for number, entry in enumerate(listed):
        (source, clips), *more = entry["clips"].items()
        if more:
            raise UserError(f"{where}: shard {entry['shard']} mixes sources; pack it anew")
        packed = entry.get("order", entry)  # a shard that was rewritten to delete clips keeps its place in the order
        digest.update(f"{packed['shard']} {packed['sha256']} {source} {clips}\n".encode())
        mine.setdefault(source, []).append((number, clips, entry["seconds"][source]))
    if not mine:
        raise UserError(f"{where}: its manifest lists no clips")
    clips_of = [sum(entry["clips"].values()) for entry in listed]
    sources = tuple(
        Source(
            name=name,
            shards=np.array([number for number, _, _ in rows], np.int64),
            clips=np.array([clips for _, clips, _ in rows], np.int64),
            seconds=sum(seconds for _, _, seconds in rows),
        )
        for name, rows in sorted(mine.items())
    )
    indexes = tuple(str(entry["index_sha256"]) for entry in listed)
    return Corpus(
        digest=digest.hexdigest(),
        shards=names,
        index_sha256=indexes,
        first_clip=np.cumsum([0, *clips_of], dtype=np.int64),
        sources=sources,
    )
