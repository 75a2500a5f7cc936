"""Chosen clips in the order a stage reads them: shuffled each epoch for training, as they are for testing.

A pure function of (digest, epoch, position), as the pre-training order is, so that a stage resumes exactly.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from avf_shards.format.corpus import Corpus
from avf_shards.sampling.stream_order import EpochOrder, EpochwiseOrder, position_random

_BLOCK = 16  # clips whose repeats lie near each other, never side by side: neighbours are mixed


class TrainingOrder(EpochwiseOrder):
    """`clips` of `corpus`, each `repeats` times an epoch (repeated augmentation), shuffled anew each time."""

    def __init__(self, corpus: Corpus, clips: Sequence[int], seed: int, repeats: int = 1) -> None:
        self._clips, self._repeats = np.array(sorted(clips), np.int64), repeats
        self._sources = sources_of(corpus, self._clips)
        counts = np.bincount(self._sources, minlength=len(corpus.sources)) * repeats
        super().__init__(corpus, counts.tolist())
        self.digest = _digest(corpus, self._clips, f"training {seed} {repeats}")

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        mine = self._clips[self._sources == source]
        return int(mine[position_random(self.digest, "substitute", epoch, position, attempt).integers(len(mine))])

    def _make(self, epoch: int) -> EpochOrder:
        shuffled = position_random(self.digest, "epoch", epoch).permutation(len(self._clips))
        blocks = [shuffled[at : at + _BLOCK] for at in range(0, len(shuffled), _BLOCK)]
        places = np.concatenate([np.tile(block, self._repeats) for block in blocks])
        return EpochOrder(clip_P=self._clips[places], source_P=self._sources[places])


class ViewOrder(EpochwiseOrder):
    """`clips` of `corpus` as given, each `views` times in a row; the last again until `batch` divides the whole."""

    def __init__(self, corpus: Corpus, clips: Sequence[int], views: int, batch: int) -> None:
        wanted = np.repeat(np.array(clips, np.int64), views)
        self._clips = np.concatenate([wanted, np.repeat(wanted[-1:], -len(wanted) % batch)])
        self._sources = sources_of(corpus, self._clips)
        super().__init__(corpus, np.bincount(self._sources, minlength=len(corpus.sources)).tolist())
        self.digest = _digest(corpus, self._clips, f"testing {views}")

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        """Any other clip: its answer is thrown away, only the step needs a row there."""
        others = np.flatnonzero(self._sources == source)
        return int(self._clips[others[(position + attempt) % len(others)]])

    def _make(self, epoch: int) -> EpochOrder:
        return EpochOrder(clip_P=self._clips, source_P=self._sources)


def sources_of(corpus: Corpus, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Number of each clip's source in the corpus."""
    of_shard = np.empty(len(corpus.shards), np.int16)
    for number, source in enumerate(corpus.sources):
        of_shard[source.shards] = number
    found: npt.NDArray[np.int16] = of_shard[np.searchsorted(corpus.first_clip, clips, "right") - 1]
    return found


def _digest(corpus: Corpus, clips: npt.NDArray[np.int64], more: str) -> str:
    return hashlib.sha256(f"{corpus.digest} {more} ".encode() + clips.astype("<i8").tobytes()).hexdigest()
