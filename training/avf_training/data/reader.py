"""Clips by their place in the corpus: shards opened when first needed, every byte checked."""

from collections import OrderedDict
from pathlib import Path

from avf_shards.corpus import Corpus
from avf_shards.errors import FaultError
from avf_shards.index import ShardReader
from avf_shards.tar import Member

_OPEN = 64  # shards kept open; a block of the order reads sixteen per source side by side


class ClipReader:
    """Reads clips of a local folder of shards by number (pread; CRC of each file checked). Safe to send to workers."""

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self.folder, self.corpus = folder, corpus
        self._open: OrderedDict[int, tuple[ShardReader, list[tuple[str, dict[str, Member]]]]] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "corpus": self.corpus}  # handles stay in their process

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the two arguments

    def key(self, clip: int) -> str:
        """Key of clip `clip` of the corpus, from its shard's index. Raises FaultError."""
        return self._found(clip)[1]

    def read(self, clip: int) -> dict[str, bytes]:
        """Extension -> bytes of clip `clip` of the corpus: mp4 and flac. Raises FaultError."""
        reader, key, members = self._found(clip)
        missing = {"mp4", "flac"} - members.keys()
        if missing:
            raise FaultError(f"{reader.path.name}: clip {key} has no {' and no '.join(sorted(missing))}")
        return {kind: reader.read(members[kind]) for kind in ("mp4", "flac")}

    def _found(self, clip: int) -> tuple[ShardReader, str, dict[str, Member]]:
        shard, place = self.corpus.place(clip)
        reader, clips = self._shard(shard)
        if place >= len(clips):
            raise FaultError(f"{reader.path.name}: has {len(clips)} clips in its index, clip {place} was asked for")
        return reader, *clips[place]

    def _shard(self, number: int) -> tuple[ShardReader, list[tuple[str, dict[str, Member]]]]:
        if number not in self._open:
            reader = ShardReader(self.folder / self.corpus.shards[number])
            self._open[number] = reader, list(reader.index.by_key().items())
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1][0].close()
        self._open.move_to_end(number)
        return self._open[number]

    def close(self) -> None:
        """Close every shard."""
        while self._open:
            self._open.popitem()[1][0].close()
