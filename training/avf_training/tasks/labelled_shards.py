"""Clips of several folders of shards as one shelf: numbered through, read by number, each with its record."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.format.corpus import Corpus, Source

from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """What folds are made from, of one clip. labels: of its record, None where it has none. mute: it has no sound."""

    number: int
    key: str
    source: str
    video_id: str
    labels: Mapping[str, Any] | None
    mute: bool


class LabelledShards:
    """Reads like a `ClipReader`. corpus: all folders' as one, so that a clip's shard can be named."""

    def __init__(self, shards: Sequence[str | Path], storage: StorageConfig) -> None:
        if not shards:
            raise UserError("no shards are given")
        self.shards, self.storage = tuple(shards), storage
        corpora = [read_corpus(folder, storage) for folder in shards]
        self._readers = [ClipReader(*pair, record=True) for pair in zip(shards, repeat(storage), corpora)]
        self._first = np.cumsum([0, *(len(corpus) for corpus in corpora)])
        self.corpus = _joined(corpora)
        self._clips: tuple[LabelledClip, ...] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return LabelledShards, (self.shards, self.storage)  # handles stay in their process

    def __len__(self) -> int:
        return int(self._first[-1])

    def key(self, clip: int) -> str:
        """Key of a clip. Raises FaultError."""
        reader, number = self._at(clip)
        return reader.key(number)

    def read(self, clip: int) -> dict[str, bytes]:
        """Its files, the record too. Raises FaultError."""
        reader, number = self._at(clip)
        return reader.read(number)

    def clips(self) -> tuple[LabelledClip, ...]:
        """Every clip that was not deleted, read once. Raises FaultError naming the shard."""
        if self._clips is None:
            self._clips = tuple(_clip(number, record) for number, record in self.records())
        return self._clips

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and record of every clip that was not deleted, in order. Raises FaultError naming the shard."""
        threads = max(1, *(self.storage.threads(folder) for folder in self.shards))
        with ThreadPoolExecutor(threads) as pool:
            for number, record in enumerate(pool.map(self._record, range(len(self)))):
                if record is not None:
                    yield number, record

    def _record(self, clip: int) -> dict[str, Any] | None:
        reader, number = self._at(clip)
        try:
            values = json.loads(reader.read_record(number))
        except DeletedClipError:
            return None
        except ValueError as error:
            raise FaultError(f"{reader.key(number)}: the record is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise FaultError(f"{reader.key(number)}: the record is not a table")
        return values

    def _at(self, clip: int) -> tuple[ClipReader, int]:
        folder = int(np.searchsorted(self._first, clip, "right")) - 1
        return self._readers[folder], clip - int(self._first[folder])


def _clip(number: int, record: Mapping[str, Any]) -> LabelledClip:
    labels = record.get("labels")
    known = labels if isinstance(labels, dict) and isinstance(labels.get("values"), dict) else None
    # Whether the input had no sound for (nearly) all of the clip, as the scenes stage measured it.
    missing_s = record["measurements"].get("scenes", {}).get("no_sound_s", 0.0)
    mute = bool(missing_s > 0.9 * record["seconds"])
    return LabelledClip(
        number=number,
        key=str(record["key"]),
        source=str(record["source"]),
        video_id=str(record["video_id"]),
        labels=known,
        mute=mute,
    )


def _joined(corpora: Sequence[Corpus]) -> Corpus:
    """Corpora one behind the other; a source that is in several is one source."""
    digest = hashlib.sha256(" ".join(corpus.digest for corpus in corpora).encode()).hexdigest()
    first, shards, sources = 0, 0, dict[str, list[Source]]()
    firsts = [np.zeros(1, np.int64)]
    for corpus in corpora:
        firsts.append(corpus.first_clip[1:] + first)
        for source in corpus.sources:
            moved = Source(name=source.name, shards=source.shards + shards, clips=source.clips, seconds=source.seconds)
            sources.setdefault(source.name, []).append(moved)
        first, shards = first + len(corpus), shards + len(corpus.shards)
    return Corpus(
        digest=digest,
        shards=tuple(name for corpus in corpora for name in corpus.shards),
        index_sha256=tuple(version for corpus in corpora for version in corpus.index_sha256),
        first_clip=np.concatenate(firsts),
        sources=tuple(
            Source(
                name=name,
                shards=np.concatenate([part.shards for part in parts]),
                clips=np.concatenate([part.clips for part in parts]),
                seconds=sum(part.seconds for part in parts),
            )
            for name, parts in sorted(sources.items())
        ),
    )
