"""Near-duplicates: two clips of one recording, cut or coded differently, which the fingerprints of their sound reveal.

A fingerprint is a 32-bit word per frame (pipeline/audio_fingerprint.py of avf_curation). Two clips count as the
same recording when, at some offset, they overlap by enough frames and the share of differing bits in the overlap is
small enough. The offsets to compare come from words that occur in both clips. Only words that a seeded hash picks are
looked up, so that a million clips fit in memory.
"""

import base64
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_shards.errors import FaultError
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND

Fingerprint = npt.NDArray[np.uint32]
_MAX_OCCURRENCES = 64  # a word that occurs more often is silence or a hum and tells nothing about the recording


@dataclass(frozen=True, kw_only=True)
class NearDuplicateConfig:
    """Conditions under which two clips count as the same recording."""

    max_bit_error: float = 0.3  # largest share of differing bits; unrelated sound: 0.5; Haitsma and Kalker allow 0.35
    min_overlap_s: float = 2.0  # least overlap in seconds
    min_share: float = 0.5  # least overlap as a share of the shorter clip
    index_every: int = 1  # on average, one of so many fingerprint words is looked up

    def __post_init__(self) -> None:
        error = self.max_bit_error
        refuse(
            (not 0 < error < 0.45, f"max_bit_error {error} must lie between 0 and 0.45; chance is 0.5"),
            (self.index_every < 1, f"index_every {self.index_every} must be at least 1"),
            (self.min_overlap_s <= 0, f"min_overlap_s {self.min_overlap_s} must be above 0"),
            (not 0 < self.min_share <= 1, f"min_share {self.min_share} must be above 0 and at most 1"),
        )


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """A clip rejected as a near-duplicate of another clip."""

    key: str  # of the rejected clip
    duplicate_of: str  # key of the clip that is selected in its stead
    error: float  # share of differing bits over the overlap, 0 to 1
    overlap_frames: int  # shared frames, at 25 fps


def encode_fingerprint(words: bytes) -> str:
    """Return little-endian 32-bit words as text for a record."""
    return base64.b64encode(words).decode()


def decode_fingerprint(text: str, where: str) -> Fingerprint:
    """Return the fingerprint that a record has as text. Raises FaultError, which names `where`."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u4")
    except ValueError:  # no base64, or no whole number of words
        raise FaultError(f"{where}: its audio_fingerprint is no base64 of 32-bit words") from None


class NearDuplicateIndex:
    """Finds clips that are the same recording. Candidate pairs are computed once; queries come clip by clip."""

    def __init__(
        self, fingerprints: Mapping[str, Fingerprint], groups: Mapping[str, str], config: NearDuplicateConfig, seed: int
    ) -> None:
        """Compute the candidate pairs.

        Args:
            fingerprints: clip -> fingerprint.
            groups: clip -> group. Clips of one group are no duplicates of each other: two people in one video have the
                same sound.
            seed: of the hash that picks the words to look up.
        """
        self._fingerprints, self._groups, self._config = fingerprints, groups, config
        self._pairs = _find_candidate_pairs(fingerprints, config, seed)

    def find(self, key: str, selected: Set[str]) -> NearDuplicate | None:
        """Return a clip of `selected` that is the same recording as the clip `key`, or None."""
        for other, offsets in self._pairs.get(key, {}).items():
            if other in selected and self._groups[key] != self._groups[other]:
                error, overlap = _smallest_bit_error(
                    self._fingerprints[key], self._fingerprints[other], offsets, self._config
                )
                if error <= self._config.max_bit_error:
                    return NearDuplicate(key=key, duplicate_of=other, error=round(error, 4), overlap_frames=overlap)
        return None


def _find_candidate_pairs(
    fingerprints: Mapping[str, Fingerprint], config: NearDuplicateConfig, seed: int
) -> dict[str, dict[str, list[int]]]:
    """Return clip -> other clip -> offsets in frames at which they share a word. Shape N: words that are looked up."""
    keys = sorted(fingerprints)
    words, clips, positions = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, key in enumerate(keys):
        word_T = fingerprints[key]
        mixed_T = (word_T.astype(np.uint64) ^ np.uint64(seed * 2 + 1)) * np.uint64(0x9E3779B97F4A7C15)
        picked = np.nonzero((mixed_T >> np.uint64(40)) % np.uint64(config.index_every) == 0)[0]
        words.append(word_T[picked])
        positions.append(picked)
        clips.append(np.full(len(picked), number))
    word_N, clip_N, position_N = np.concatenate(words), np.concatenate(clips), np.concatenate(positions)
    _, group_N, count_G = np.unique(word_N, return_inverse=True, return_counts=True)
    shared_N = (count_G[group_N] > 1) & (count_G[group_N] <= _MAX_OCCURRENCES)
    order_N = np.flatnonzero(shared_N)[np.argsort(group_N[shared_N], kind="stable")]
    group_N, clip_N, position_N = group_N[order_N], clip_N[order_N], position_N[order_N]
    pairs: dict[str, dict[str, list[int]]] = {}
    for lag in range(1, min(_MAX_OCCURRENCES, len(group_N))):
        pair = np.flatnonzero((group_N[lag:] == group_N[:-lag]) & (clip_N[lag:] != clip_N[:-lag]))
        if not (group_N[lag:] == group_N[:-lag]).any():
            break
        clips_and_offset = np.stack(
            [clip_N[pair], clip_N[pair + lag], position_N[pair + lag] - position_N[pair]], axis=1
        )
        for i, j, offset in np.unique(clips_and_offset, axis=0).tolist():
            pairs.setdefault(keys[i], {}).setdefault(keys[j], []).append(offset)
            pairs.setdefault(keys[j], {}).setdefault(keys[i], []).append(-offset)
    return pairs


def _smallest_bit_error(
    first: Fingerprint, second: Fingerprint, offsets: Sequence[int], config: NearDuplicateConfig
) -> tuple[float, int]:
    """Return the smallest share of differing bits over the offsets with enough overlap, and the overlap in frames.

    Return (1, 0) where no offset has enough overlap.
    """
    needed = max(config.min_overlap_s * FRAMES_PER_SECOND, config.min_share * min(len(first), len(second)))
    best = (1.0, 0)
    for offset in sorted(set(offsets)):
        start, stop = max(0, -offset), min(len(first), len(second) - offset)
        if stop - start >= needed:
            differ: Any = first[start:stop] ^ second[start + offset : stop + offset]
            error = float(np.bitwise_count(differ).sum()) / (32 * (stop - start))
            best = min(best, (error, stop - start))
    return best
