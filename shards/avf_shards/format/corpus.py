"""A folder of packed shards as a stream sees it: its shards, their sources and the number of their clips."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.format.shard_manifest import ShardManifest, read_manifest

IntArray = npt.NDArray[np.int64]
#: What serves those who have shards of the other kind.
_WAY_OUT: Mapping[Content, str] = {
    "pictures": "`avf-train pretrain-images` and `finetune-images` read them, and `extract --pictures SOURCE` reads "
    "folders of numbered face pictures, VIDEO/00001.jpg",
    "clips": "pack a run of pictures, as of `avf-curate run --source pictures=DIR`",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """The shards of one source."""

    name: str  # as in the keys of its clips
    shards: IntArray  # indices of its shards in the corpus
    clips: IntArray  # clips in each of them as packed
    seconds: float  # of all its clips that are not deleted

    @property
    def count(self) -> int:
        """Number of clips as packed: deleted ones keep their position."""
        return int(self.clips.sum())


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """All shards of a folder in the order of its manifest."""

    digest: str  # of the name, SHA-256 and clips of each shard as packed: no other data passes for these
    shards: tuple[str, ...]  # file names
    index_sha256: tuple[str, ...]  # of the sidecar of each shard
    first_clip: IntArray  # number of the first clip of each shard in the corpus, then the number of all clips
    sources: tuple[Source, ...]  # sorted by name
    content: Content = "clips"  # what the shards hold

    def __len__(self) -> int:
        """Return the number of clips as packed, deleted ones too."""
        return int(self.first_clip[-1])

    @property
    def noun(self) -> str:
        """What an item is called in messages."""
        return self.content.removesuffix("s")

    def locate(self, clip: int) -> tuple[int, int]:
        """Return (index of the shard, position in the shard) of a clip of the corpus."""
        shard = int(np.searchsorted(self.first_clip, clip, "right")) - 1
        return shard, clip - int(self.first_clip[shard])


def require_content(corpus: Corpus, content: Content, where: str) -> None:
    """Raise UserError for a corpus that holds something else than `content`; `where` names its folder."""
    if corpus.content != content:
        raise UserError(
            f"{where}: its shards hold {corpus.content}, and {content} are needed here; {_WAY_OUT[corpus.content]}"
        )


def load_corpus(folder: Path) -> Corpus:
    """Return the corpus in `folder`. Raises UserError without a manifest, FaultError for a damaged one."""
    return list_corpus(read_manifest(folder), str(folder))


def list_corpus(manifest: ShardManifest, where: str) -> Corpus:
    """Return the corpus that a manifest lists; `where` names its folder in messages.

    Raises UserError for a manifest without clips.
    """
    listed = manifest.shards
    digest = hashlib.sha256()
    shards_of_source: dict[str, list[tuple[int, int, float]]] = {}
    for number, entry in enumerate(listed):
        if len(entry.clips) != 1:
            raise UserError(f"{where}: shard {entry.shard} mixes sources or has none; pack it anew")
        ((source, clips),) = entry.clips.items()
        original = entry.original
        digest.update(f"{original.shard} {original.sha256} {source} {clips}\n".encode())
        shards_of_source.setdefault(source, []).append((number, clips, entry.seconds[source]))
    if not shards_of_source:
        raise UserError(f"{where}: its manifest lists no {manifest.content}")
    clips_of = [sum(entry.clips.values()) for entry in listed]
    sources = tuple(
        Source(
            name=name,
            shards=np.array([number for number, _, _ in rows], np.int64),
            clips=np.array([clips for _, clips, _ in rows], np.int64),
            seconds=sum(seconds for _, _, seconds in rows),
        )
        for name, rows in sorted(shards_of_source.items())
    )
    return Corpus(
        digest=digest.hexdigest(),
        shards=tuple(entry.shard for entry in listed),
        index_sha256=tuple(entry.index_sha256 for entry in listed),
        first_clip=np.cumsum([0, *clips_of], dtype=np.int64),
        sources=sources,
        content=manifest.content,
    )
