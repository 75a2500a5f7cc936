"""Pictures of one or several folders of shards under one numbering."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from avf_shards.errors import DeletedClipError, UserError
from avf_shards.format.picture_record import PictureRecord

from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig
from avf_training.tasks.labelled_shards import concat_corpora

PICTURE = "picture"
"""Name of the encoded picture among the files of an item of a stream."""
LABELS = "labels"
"""Name of the label among them: float32 values in the columns of a task, nan where not valid."""


class PictureShards:
    """Reader over folders of picture shards, with the interface of a `ClipSource`."""

    def __init__(self, shards: Sequence[str | Path], storage: StorageConfig) -> None:
        """Read the manifests. Raises UserError for a folder of clips, or without a manifest."""
        if not shards:
            raise UserError("no shards are given; name a folder of picture shards")
        self.shards, self.storage = tuple(shards), storage
        corpora = [read_corpus(folder, storage, "pictures") for folder in shards]
        self._readers = [ClipReader(*three, record=True) for three in zip(shards, repeat(storage), corpora)]
        self._first = np.cumsum([0, *(len(corpus) for corpus in corpora)])
        self.corpus = corpora[0] if len(corpora) == 1 else concat_corpora(corpora)

    def __reduce__(self) -> tuple[object, ...]:
        return PictureShards, (self.shards, self.storage)  # a worker opens its own: file handles cannot be pickled

    def __len__(self) -> int:
        return int(self._first[-1])

    def key(self, clip: int) -> str:
        """Return the key of a picture. Raises FaultError."""
        reader, index = self._locate(clip)
        return reader.key(index)

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the encoded picture. Raises FaultError."""
        reader, index = self._locate(clip)
        return {PICTURE: reader.read_picture(index).data}

    def records(self) -> Iterator[tuple[int, PictureRecord]]:
        """Yield number and record of every picture that was not deleted, in order. Raises FaultError."""
        threads = max(1, *(self.storage.read_ahead_threads(folder) for folder in self.shards))
        with ThreadPoolExecutor(threads) as pool:
            for index, record in enumerate(pool.map(self._record, range(len(self)))):
                if record is not None:
                    yield index, record

    def _record(self, clip: int) -> PictureRecord | None:
        reader, index = self._locate(clip)
        try:
            return PictureRecord.from_json(reader.read_record(index), reader.key(index))
        except DeletedClipError:
            return None

    def _locate(self, clip: int) -> tuple[ClipReader, int]:
        folder = int(np.searchsorted(self._first, clip, "right")) - 1
        return self._readers[folder], clip - int(self._first[folder])
