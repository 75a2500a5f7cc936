"""Several folders of shards under one numbering: what readers of labelled clips and of pictures share."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from avf_shards.errors import DeletedClipError, UserError
from avf_shards.format.content import Content
from avf_shards.format.corpus import Corpus

from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig

Record = TypeVar("Record")


class ShardFolders(Generic[Record]):
    """Finds an item of several folders by its number over all of them, and reads their records."""

    def __init__(
        self,
        shards: Sequence[str | Path],
        storage: StorageConfig,
        content: Content,
        parse_record: Callable[[bytes, str], Record],
    ) -> None:
        """Read the manifests.

        Raises UserError for shards of other content, without a manifest, and for shards that two folders hold.

        Args:
            shards: folders or addresses, at least one.
            storage: how they are read.
            content: what the shards must hold.
            parse_record: returns the record of an item from its bytes and its key.
        """
        self.shards, self.storage, self._parse_record = tuple(shards), storage, parse_record
        self.corpora: list[Corpus] = [read_corpus(folder, storage, content) for folder in shards]
        _refuse_repeated_shards(self.shards, self.corpora)
        self._readers = [ClipReader(*three, record=True) for three in zip(shards, repeat(storage), self.corpora)]
        self._first = np.cumsum([0, *(len(corpus) for corpus in self.corpora)])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.shards, self.storage)  # a worker opens its own: file handles cannot be pickled

    def __len__(self) -> int:
        return int(self._first[-1])

    def key(self, clip: int) -> str:
        """Return the key of an item. Raises FaultError."""
        reader, index = self.locate(clip)
        return reader.key(index)

    def records(self, numbers: Sequence[int] | None = None) -> Iterator[tuple[int, Record]]:
        """Yield number and record of every item that was not deleted, in order. Raises FaultError naming the shard.

        `numbers`: of the items to read; None: all.
        """
        chosen: Sequence[int] = range(len(self)) if numbers is None else numbers
        threads = max(1, *(self.storage.read_ahead_threads(folder) for folder in self.shards))
        with ThreadPoolExecutor(threads) as pool:
            for index, record in zip(chosen, pool.map(self._record, chosen), strict=True):
                if record is not None:
                    yield index, record

    def locate(self, clip: int) -> tuple[ClipReader, int]:
        """Return the reader of the folder that an item lies in, and the item's number there."""
        folder = int(np.searchsorted(self._first, clip, "right")) - 1
        return self._readers[folder], clip - int(self._first[folder])

    def _record(self, clip: int) -> Record | None:
        reader, index = self.locate(clip)
        try:
            return self._parse_record(reader.read_record(index), reader.key(index))
        except DeletedClipError:
            return None


def _refuse_repeated_shards(folders: Sequence[str | Path], corpora: Sequence[Corpus]) -> None:
    """Raise UserError where two folders hold one shard, as one folder in two spellings does: its items count twice.

    Shards are compared by the digests of their indexes, which have names, sizes and checksums of all their files.
    """
    folder_of: dict[str, str | Path] = {}
    for folder, corpus in zip(folders, corpora, strict=True):
        shared = [number for number, sha256 in enumerate(corpus.index_sha256) if sha256 in folder_of]
        if shared:
            first, named = folder_of[corpus.index_sha256[shared[0]]], corpus.shards[shared[0]]
            named += f" and {len(shared) - 1:,} more" if len(shared) > 1 else ""
            raise UserError(
                f"{folder}: has shards of {first} ({named}), so that their {corpus.content} would count twice; name "
                "each folder once"
            )
        folder_of |= dict.fromkeys(corpus.index_sha256, folder)
