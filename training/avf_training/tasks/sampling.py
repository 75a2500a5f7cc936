"""The order in which a stage reads selected clips: shuffled in each epoch for training, unchanged for testing.

Like the order of pre-training, each is a pure function of (digest, epoch, position), so that a stage resumes exactly.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from avf_shards.format.corpus import Corpus
from avf_shards.sampling.stream_order import EpochOrder, EpochwiseOrder, position_random

# Repeats of a clip lie within a block of this many clips, never side by side: mixup mixes neighbours of a batch, and a
# clip mixed with itself is no mixture.
_BLOCK_CLIPS = 16


class TrainingOrder(EpochwiseOrder):
    """`clips` of `corpus`, each `repeats` times in an epoch (repeated augmentation), shuffled anew each epoch."""

    def __init__(self, corpus: Corpus, clips: Sequence[int], seed: int, repeats: int = 1) -> None:
        self._clips, self._repeats = np.array(sorted(clips), np.int64), repeats
        self._sources = sources_of(corpus, self._clips)
        counts = np.bincount(self._sources, minlength=len(corpus.sources)) * repeats
        super().__init__(corpus, counts.tolist())
        self.digest = _digest(corpus, self._clips, f"training {seed} {repeats}")

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        candidates = self._clips[self._sources == source]
        random = position_random(self.digest, "substitute", epoch, position, attempt)
        return int(candidates[random.integers(len(candidates))])

    def _make(self, epoch: int) -> EpochOrder:
        shuffled = position_random(self.digest, "epoch", epoch).permutation(len(self._clips))
        blocks = [shuffled[start : start + _BLOCK_CLIPS] for start in range(0, len(shuffled), _BLOCK_CLIPS)]
        order = np.concatenate([np.tile(block, self._repeats) for block in blocks])
        return EpochOrder(clip_P=self._clips[order], source_P=self._sources[order])


class ViewOrder(EpochwiseOrder):
    """`clips` of `corpus` as given, each `views` times in a row.

    The last clip is repeated until `batch` divides the length; the predictions of these repeats are discarded.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[int], views: int, batch: int) -> None:
        viewed = np.repeat(np.array(clips, np.int64), views)
        self._clips = np.concatenate([viewed, np.repeat(viewed[-1:], -len(viewed) % batch)])
        self._sources = sources_of(corpus, self._clips)
        super().__init__(corpus, np.bincount(self._sources, minlength=len(corpus.sources)).tolist())
        self.digest = _digest(corpus, self._clips, f"testing {views}")

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        """Return any other clip: the step needs a row there, and its prediction is discarded."""
        others = np.flatnonzero(self._sources == source)
        return int(self._clips[others[(position + attempt) % len(others)]])

    def _make(self, epoch: int) -> EpochOrder:
        return EpochOrder(clip_P=self._clips, source_P=self._sources)


def sources_of(corpus: Corpus, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Return the index of each clip's source in the corpus."""
    source_of_shard = np.empty(len(corpus.shards), np.int16)
    for index, source in enumerate(corpus.sources):
        source_of_shard[source.shards] = index
    sources: npt.NDArray[np.int16] = source_of_shard[np.searchsorted(corpus.first_clip, clips, "right") - 1]
    return sources


def _digest(corpus: Corpus, clips: npt.NDArray[np.int64], order: str) -> str:
    return hashlib.sha256(f"{corpus.digest} {order} ".encode() + clips.astype("<i8").tobytes()).hexdigest()
