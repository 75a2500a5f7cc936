"""Near duplicates: the same recording in two clips, cut or coded otherwise, found by the fingerprints of their sound.

A fingerprint is a 32-bit word per frame (pipeline/audio_fingerprint.py of avf_curation). Two clips are the same
recording when, laid over each other at some offset, they share enough frames and few enough of the bits differ there.
Offsets to compare come from words that occur in both clips. Only words that a seeded hash picks are looked up, so that
a million clips fit in memory.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_shards.timeline import FRAMES_PER_SECOND

Fingerprint = npt.NDArray[np.uint32]
_COMMON = 64  # a word in more clips than this says nothing: silence, a hum


@dataclass(frozen=True, kw_only=True)
class NearDuplicateConfig:
    """When two clips count as the same recording."""

    max_bit_error: float = 0.3  # largest share of differing bits; unrelated sound: 0.5; Haitsma and Kalker allow 0.35
    min_overlap_s: float = 2.0  # shared time at least, in seconds
    min_share: float = 0.5  # of the shorter clip that must be shared
    index_every: int = 1  # one fingerprint word in this many is looked up

    def __post_init__(self) -> None:
        if not 0 < self.max_bit_error < 0.45:
            raise ValueError(f"max_bit_error {self.max_bit_error} must lie between 0 and 0.45; chance is 0.5")
        if self.index_every < 1 or self.min_overlap_s <= 0 or not 0 < self.min_share <= 1:
            raise ValueError("index_every at least 1, min_overlap_s above 0, min_share above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """A clip rejected as a near-duplicate of another clip."""

    key: str  # of the rejected clip
    duplicate_of: str  # key of the clip that is selected in its stead
    error: float  # share of differing bits over the overlap, 0 to 1
    overlap_frames: int  # shared frames, at 25 fps


class NearDuplicateIndex:
    """Finds clips that are the same recording. Candidates are computed once; a query is made clip by clip.

    groups: clip -> its group; clips of one group are no duplicates of each other (one video, two people).
    """

    def __init__(
        self, prints: Mapping[str, Fingerprint], groups: Mapping[str, str], config: NearDuplicateConfig, seed: int
    ) -> None:
        self._prints, self._groups, self._config = prints, groups, config
        self._pairs = _pairs(prints, config, seed)

    def find(self, key: str, taken: Set[str]) -> NearDuplicate | None:
        """Return the clip of `taken` that is the same recording as `key`, or None."""
        for other, offsets in self._pairs.get(key, {}).items():
            if other in taken and self._groups[key] != self._groups[other]:
                error, overlap = _distance(self._prints[key], self._prints[other], offsets, self._config)
                if error <= self._config.max_bit_error:
                    return NearDuplicate(key=key, duplicate_of=other, error=round(error, 4), overlap_frames=overlap)
        return None


def _pairs(
    prints: Mapping[str, Fingerprint], config: NearDuplicateConfig, seed: int
) -> dict[str, dict[str, list[int]]]:
    """Return clip -> clips with words in common -> offsets in frames at which these agree. N: words looked up."""
    keys = sorted(prints)
    words, clips, positions = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, key in enumerate(keys):
        word_T = prints[key]
        mixed_T = (word_T.astype(np.uint64) ^ np.uint64(seed * 2 + 1)) * np.uint64(0x9E3779B97F4A7C15)
        picked = np.nonzero((mixed_T >> np.uint64(40)) % np.uint64(config.index_every) == 0)[0]
        words.append(word_T[picked])
        positions.append(picked)
        clips.append(np.full(len(picked), number))
    word_N, clip_N, position_N = np.concatenate(words), np.concatenate(clips), np.concatenate(positions)
    _, group_N, count_G = np.unique(word_N, return_inverse=True, return_counts=True)
    shared_N = (count_G[group_N] > 1) & (count_G[group_N] <= _COMMON)
    order_N = np.flatnonzero(shared_N)[np.argsort(group_N[shared_N], kind="stable")]
    group_N, clip_N, position_N = group_N[order_N], clip_N[order_N], position_N[order_N]
    pairs: dict[str, dict[str, list[int]]] = {}
    for lag in range(1, min(_COMMON, len(group_N))):
        pair = np.flatnonzero((group_N[lag:] == group_N[:-lag]) & (clip_N[lag:] != clip_N[:-lag]))
        if not (group_N[lag:] == group_N[:-lag]).any():
            break
        found = np.stack([clip_N[pair], clip_N[pair + lag], position_N[pair + lag] - position_N[pair]], axis=1)
        for i, j, offset in np.unique(found, axis=0).tolist():
            pairs.setdefault(keys[i], {}).setdefault(keys[j], []).append(offset)
            pairs.setdefault(keys[j], {}).setdefault(keys[i], []).append(-offset)
    return pairs


def _distance(
    one: Fingerprint, other: Fingerprint, offsets: Sequence[int], config: NearDuplicateConfig
) -> tuple[float, int]:
    """Return the smallest share of differing bits over the offsets with enough overlap, and that overlap in frames.

    Return (1, 0) where no offset has enough overlap.
    """
    needed = max(config.min_overlap_s * FRAMES_PER_SECOND, config.min_share * min(len(one), len(other)))
    best = (1.0, 0)
    for offset in sorted(set(offsets)):
        start, stop = max(0, -offset), min(len(one), len(other) - offset)
        if stop - start >= needed:
            differ: Any = one[start:stop] ^ other[start + offset : stop + offset]
            error = float(np.bitwise_count(differ).sum()) / (32 * (stop - start))
            best = min(best, (error, stop - start))
    return best
