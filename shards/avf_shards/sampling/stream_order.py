"""The global order of a stream: a pure function of (index digest, mix, seed, epoch, position).

No buffer and no state but (digest, epoch, position): any number of ranks and workers can take its part of any step, and
a stopped stream can continue anywhere. Shapes: P positions of an epoch.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_shards.errors import UserError
from avf_shards.format.corpus import Corpus, Source
from avf_shards.sampling.mixture import Mixture, interleave, source_quotas

BLOCK_SHARDS = 16  # shards read side by side: clips are shuffled inside such a block, blocks one after the other
_CACHED_EPOCHS = 2


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The clip and the source of each position of an epoch, as indices into the corpus."""

    clip_P: npt.NDArray[np.int64]  # number of the clip in the corpus
    source_P: npt.NDArray[np.int16]  # index of its source in `Corpus.sources`


class EpochwiseOrder(ABC):
    """An order whose epochs all have one length. `digest` covers everything that decides the order.

    An epoch is computed at its first use; the last two are cached.
    """

    digest: str

    def __init__(self, corpus: Corpus, quotas: list[int]) -> None:
        self.corpus, self.quotas = corpus, quotas
        self._epochs: OrderedDict[int, EpochOrder] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of clips in an epoch."""
        return sum(self.quotas)

    def epoch(self, number: int) -> EpochOrder:
        """Return the order of one epoch."""
        if number not in self._epochs:
            self._epochs[number] = self._make(number)
            if len(self._epochs) > _CACHED_EPOCHS:
                self._epochs.popitem(last=False)
        return self._epochs[number]

    def clips_between(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int16]]:
        """Return clips and sources at the positions [start, stop), counted from the start of the first epoch."""
        clips, sources = [], []
        while start < stop:
            number, inside = divmod(start, len(self))
            upto = min(len(self), inside + stop - start)
            order = self.epoch(number)
            clips.append(order.clip_P[inside:upto])
            sources.append(order.source_P[inside:upto])
            start += upto - inside
        if not clips:
            return np.empty(0, np.int64), np.empty(0, np.int16)
        return np.concatenate(clips), np.concatenate(sources)

    def takes(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each clip of the sources in an epoch whether the order may ever come to it."""
        return np.ones(len(clips), bool)

    @abstractmethod
    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        """Return the clip that replaces an unreadable one: of the same source, by position and attempt (1, 2, ...)."""

    @abstractmethod
    def _make(self, epoch: int) -> EpochOrder: ...


class StreamOrder(EpochwiseOrder):
    """The order of `corpus` under `mix` and `seed`."""

    def __init__(self, corpus: Corpus, mix: Mixture, seed: int) -> None:
        super().__init__(corpus, source_quotas(corpus, mix))
        self.mix, self.seed = mix, seed
        if not sum(self.quotas):
            raise UserError(f"the mix takes no {corpus.noun} of any source")
        self._source_P = interleave(self.quotas)  # every epoch's: which source comes when is not shuffled
        named = {source.name: quota for source, quota in zip(corpus.sources, self.quotas, strict=True)}
        share = f" share {mix.share}" if mix.share < 1 else ""
        self.digest = hashlib.sha256(f"{corpus.digest} {sorted(named.items())} {seed}{share}".encode()).hexdigest()
        # source -> its clips that are ever taken, rising; None: all of them
        self._taken = {source.name: self._take_share(source) for source in corpus.sources} if mix.share < 1 else None

    def takes(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        taken = None if self._taken is None else np.concatenate(list(self._taken.values()))
        return super().takes(clips) if taken is None else np.isin(clips, taken)

    def _all_clips(self, source: Source) -> npt.NDArray[np.int64]:
        firsts = self.corpus.first_clip[source.shards]
        ends = np.cumsum(source.clips)
        clips: npt.NDArray[np.int64] = np.arange(source.count) + np.repeat(firsts - (ends - source.clips), source.clips)
        clips.sort()
        return clips

    def _take_share(self, source: Source) -> npt.NDArray[np.int64]:
        """Return the mix's share of a source's clips, at least one, in rising order; no seed changes which."""
        clips = self._all_clips(source)
        shuffled = position_random("share", self.corpus.digest, source.name).permutation(clips)
        taken: npt.NDArray[np.int64] = np.sort(shuffled[: max(1, round(self.mix.share * len(clips)))])
        return taken

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        source_entry = self.corpus.sources[source]
        if self._taken is not None:
            taken = self._taken[source_entry.name]
            random = position_random(self.digest, "substitute", epoch, position, attempt)
            return int(taken[random.integers(len(taken))])
        index_in_source = int(
            position_random(self.digest, "substitute", epoch, position, attempt).integers(source_entry.count)
        )
        shard = int(np.searchsorted(np.cumsum(source_entry.clips), index_in_source, "right"))
        before = int(source_entry.clips[:shard].sum())
        return int(self.corpus.first_clip[source_entry.shards[shard]]) + index_in_source - before

    def _make(self, epoch: int) -> EpochOrder:
        clip_P = np.empty(len(self), np.int64)
        for number, (source, quota) in enumerate(zip(self.corpus.sources, self.quotas, strict=True)):
            if quota:
                clip_P[self._source_P == number] = self._stretch(source, epoch * quota, (epoch + 1) * quota)
        return EpochOrder(clip_P=clip_P, source_P=self._source_P)

    def _stretch(self, source: Source, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return clips [start, stop) of the endless sequence of a source's shuffled passes."""
        count = source.count if self._taken is None else len(self._taken[source.name])
        passes = range(start // count, -(-stop // count))
        row: npt.NDArray[np.int64] = np.concatenate([self._pass(source, number) for number in passes])
        first = passes.start * count
        return row[start - first : stop - first]

    def _pass(self, source: Source, number: int) -> npt.NDArray[np.int64]:
        """Return each clip of a source that is taken: shards in random order, clips shuffled within a block of them."""
        random = position_random(self.digest, "pass", source.name, number)
        shuffled = random.permutation(len(source.shards))
        firsts, counts = self.corpus.first_clip[source.shards[shuffled]], source.clips[shuffled]
        ends = np.cumsum(counts)
        row: npt.NDArray[np.int64] = np.arange(source.count) + np.repeat(firsts - (ends - counts), counts)
        for block in range(0, len(counts), BLOCK_SHARDS):
            upto = ends[min(block + BLOCK_SHARDS, len(counts)) - 1]
            random.shuffle(row[ends[block] - counts[block] : upto])
        return row if self._taken is None else row[np.isin(row, self._taken[source.name])]


def position_random(*parts: object) -> np.random.Generator:
    """Return a random generator whose numbers depend on `parts` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))


def rank_steps(order: EpochwiseOrder, start: int, steps: int, *, batch: int, world: int, rank: int) -> Iterator[range]:
    """Yield the positions that `rank` takes in each step: its slice of the global batch, counted from the first epoch.

    Raises UserError when the world does not divide the batch.
    """
    if world < 1 or batch < 1 or batch % world:
        fitting = [n for n in range(1, batch + 1) if batch % n == 0] if batch > 0 else []
        raise UserError(f"a global batch of {batch} cannot be shared by {world} ranks; these numbers fit: {fitting}")
    rank_batch = batch // world
    for step in range(steps):
        first = start + step * batch + rank * rank_batch
        yield range(first, first + rank_batch)


def stream_digest(order: StreamOrder, start: int, steps: int, batch: int, world: int) -> str:
    """Return the SHA-256 of the clips of `steps` global batches, assembled from what each rank takes."""
    ranks = [rank_steps(order, start, steps, batch=batch, world=world, rank=rank) for rank in range(world)]
    digest = hashlib.sha256(order.digest.encode())
    for parts in zip(*ranks, strict=True):
        for part in parts:
            clips, _ = order.clips_between(part.start, part.stop)
            digest.update(clips.astype("<i8").tobytes())
    return digest.hexdigest()
