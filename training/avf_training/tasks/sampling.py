"""The order in which a stage reads selected clips: shuffled in each epoch for training, unchanged for testing.

Like the order of pre-training, each is a pure function of (digest, epoch, position), so that a stage resumes exactly.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from avf_shards.format.corpus import Corpus
from avf_shards.sampling.mixture import shares
from avf_shards.sampling.stream_order import EpochOrder, EpochwiseOrder, position_random


class TrainingOrder(EpochwiseOrder):
    """`clips` of `corpus`, shuffled anew each epoch, each `repeats` times in one step (repeated augmentation).

    A step has `batch` different clips one after the other, then the same again: repeats of a clip are never side by
    side, because mixup mixes neighbours, and a clip mixed with itself is no mixture.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[int], seed: int, *, repeats: int = 1, batch: int = 1) -> None:
        """Make the order.

        Args:
            corpus: what the clips are of.
            clips: numbers of the clips in the corpus.
            seed: of the order.
            repeats: samples of each clip in a step.
            batch: different clips of a step; without repeats it changes nothing.
        """
        self._clips, self._repeats, self._batch = np.array(sorted(clips), np.int64), repeats, batch
        self._sources = sources_of(corpus, self._clips)
        counts = np.bincount(self._sources, minlength=len(corpus.sources)) * repeats
        super().__init__(corpus, counts.tolist())
        self.digest = _digest(corpus, self._clips, f"training {self._describe(seed)}")

    def _describe(self, seed: int) -> str:
        return f"{seed} {self._repeats}" + (f" in steps of {self._batch}" if self._repeats > 1 else "")

    def substitute(self, source: int, epoch: int, position: int, attempt: int) -> int:
        candidates = self._clips[self._sources == source]
        random = position_random(self.digest, "substitute", epoch, position, attempt)
        return int(candidates[random.integers(len(candidates))])

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the clips of an epoch in their order, as indices into the selected clips."""
        return position_random(self.digest, "epoch", epoch).permutation(len(self._clips))

    def _make(self, epoch: int) -> EpochOrder:
        # Steps go on over the ends of epochs, so positions are counted in the endless sequence of shuffled passes.
        position_P = np.arange(epoch * len(self), (epoch + 1) * len(self))
        step_P, inside_P = np.divmod(position_P, self._batch * self._repeats)
        different = len(self) // self._repeats  # in an epoch
        pass_P, number_P = np.divmod(step_P * self._batch + inside_P % self._batch, different)
        first, last = int(pass_P.min()), int(pass_P.max())
        sequence = np.stack([self._shuffle(number) for number in range(first, last + 1)])
        order = sequence[pass_P - first, number_P]
        return EpochOrder(clip_P=self._clips[order], source_P=self._sources[order])


class ClassOrder(TrainingOrder):
    """A `TrainingOrder` in which each class has a number of its own of clips in an epoch.

    A class takes its clips from an endless sequence of shuffled passes over them, so that all are seen before any is
    seen again, whatever its number; the epochs of the sequence lie side by side.
    """

    def __init__(
        self,
        corpus: Corpus,
        class_of: Mapping[int, int],
        quotas: Sequence[int],
        seed: int,
        *,
        repeats: int = 1,
        batch: int = 1,
    ) -> None:
        """Make the order.

        Args:
            corpus: what the clips are of.
            class_of: number of a clip in the corpus -> its class.
            quotas: clips of each class in an epoch, before repeats.
            seed: of the order.
            repeats: samples of each clip in a step.
            batch: different clips of a step; without repeats it changes nothing.
        """
        super().__init__(corpus, list(class_of), seed, repeats=repeats, batch=batch)
        class_P = np.array([class_of[clip] for clip in self._clips.tolist()], np.int64)
        self._members = [np.flatnonzero(class_P == number) for number in range(len(quotas))]
        self._class_quotas = list(quotas)
        digest = hashlib.sha256(class_P.astype("<i8").tobytes()).hexdigest()
        self.digest = _digest(
            corpus, self._clips, f"training {self._describe(seed)} of classes {self._class_quotas} {digest}"
        )
        # The clips of each source in an epoch follow from its share of each class, and may differ by a few.
        expected = np.zeros(len(corpus.sources))
        for members, quota in zip(self._members, quotas, strict=True):
            if quota:
                counts = np.bincount(self._sources[members], minlength=len(corpus.sources))
                expected += counts * quota / len(members)
        self.quotas = shares(expected.tolist(), sum(quotas) * repeats)

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int64]:
        parts = [
            self._class_clips(number, epoch * quota, (epoch + 1) * quota)
            for number, quota in enumerate(self._class_quotas)
            if quota
        ]
        clips = np.concatenate(parts)
        shuffled: npt.NDArray[np.int64] = clips[position_random(self.digest, "epoch", epoch).permutation(len(clips))]
        return shuffled

    def _class_clips(self, number: int, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return the clips [start, stop) of the endless sequence of a class."""
        members = self._members[number]
        passes = range(start // len(members), -(-stop // len(members)))
        sequence = [members[position_random(self.digest, number, turn).permutation(len(members))] for turn in passes]
        first = passes.start * len(members)
        clips: npt.NDArray[np.int64] = np.concatenate(sequence)[start - first : stop - first]
        return clips


class ViewOrder(EpochwiseOrder):
    """`clips` of `corpus` as given, each `views` times in a row, or each so many times as `views` lists.

    The last clip is repeated until `batch` divides the length; the predictions of these repeats are discarded.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[int], views: int | Sequence[int], batch: int) -> None:
        viewed = np.repeat(np.array(clips, np.int64), views)
        self._clips = np.concatenate([viewed, np.repeat(viewed[-1:], -len(viewed) % batch)])
        self._sources = sources_of(corpus, self._clips)
        super().__init__(corpus, np.bincount(self._sources, minlength=len(corpus.sources)).tolist())
        self.digest = _digest(corpus, self._clips, f"testing {views if isinstance(views, int) else 'hops'}")

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
