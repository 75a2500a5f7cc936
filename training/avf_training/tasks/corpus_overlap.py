"""What the corpora in shards share: by the names of relations.yaml, and by the sound of their clips.

Names tell nothing of a recording that another corpus holds under another name. The fingerprints of sound that curation
computes do (avf_shards.packing.near_duplicates), cut and coded differently; a record of an older run has none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from avf_shards.packing.near_duplicates import (
    Fingerprint,
    NearDuplicateConfig,
    NearDuplicateIndex,
    decode_fingerprint,
)
from avf_shards.text import count_noun

from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards
from avf_training.tasks.relations import Relation, Shared, identify_clip, open_relations

_DISTINCT_SHARE = 0.5  # of a fingerprint's words; a hum or silence repeats a few words and tells no recording
_INDEXED_WORDS = 50_000_000  # looked up at most, about 2 GB; of a million clips of 5 s every third word


@dataclass(frozen=True, kw_only=True)
class SharedClips:
    """Clips of two sources, or of one, that show the same thing."""

    sources: tuple[str, str]  # sorted; the same name twice: within one corpus
    shares: Literal["recording", "person", "film", "sound"]  # sound: the same recording under two names
    clips: int  # clips of either source that share it; sound: clips with a partner
    example: tuple[str, str]  # keys of two of them


@dataclass(frozen=True, kw_only=True)
class CorpusOverlap:
    """What the sources of some shards share."""

    clips: dict[str, int]  # source -> clips
    unknown_sound: dict[str, int]  # source -> clips whose record has no fingerprint: of an earlier version
    shared: tuple[SharedClips, ...]  # by name first, then by sound
    relations: tuple[Relation, ...]  # between these sources, which no published name reveals

    def sentences(self) -> list[str]:
        """Return what is shared, and what is not known, in a sentence each."""
        lines = [_describe(each) for each in self.shared]
        lines += [
            f"{source}: {count_noun(count, 'record')} of {self.clips[source]} have no fingerprint of their sound; "
            "doubles of these clips are not known until they are curated again"
            for source, count in self.unknown_sound.items()
        ]
        return lines + [f"{', '.join(_present(each, self.clips))}: {each.fact}" for each in self.relations]


def find_overlap(shards: LabelledShards) -> CorpusOverlap:
    """Return what the sources in the shards share. Raises FaultError for a damaged record."""
    clips = shards.clips()
    counts: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for clip in clips:
        counts[clip.source] = counts.get(clip.source, 0) + 1
        if clip.audio_fingerprint is None:
            unknown[clip.source] = unknown.get(clip.source, 0) + 1
    return CorpusOverlap(
        clips=dict(sorted(counts.items())),
        unknown_sound=dict(sorted(unknown.items())),
        shared=(*_shared_by_name(clips), *_shared_by_sound(clips)),
        relations=tuple(open_relations(counts)),
    )


def _shared_by_name(clips: Sequence[LabelledClip]) -> Iterator[SharedClips]:
    """Yield what two sources share by the names of their recordings, people and films."""
    clips_of: dict[tuple[str, str], dict[str, list[str]]] = {}  # (shares, name) -> source -> keys
    for clip in clips:
        for name in identify_clip(clip).shared_names().items():
            clips_of.setdefault(name, {}).setdefault(clip.source, []).append(clip.key)
    totals: dict[tuple[str, str, str], tuple[int, tuple[str, str]]] = {}
    for (shares, _), keys_of in clips_of.items():
        for first, second in combinations(sorted(keys_of), 2):
            count, example = totals.get((shares, first, second), (0, (keys_of[first][0], keys_of[second][0])))
            totals[shares, first, second] = count + len(keys_of[first]) + len(keys_of[second]), example
    for shares in get_args(Shared):
        for (kind, first, second), (count, example) in sorted(totals.items()):
            if kind == shares:
                yield SharedClips(sources=(first, second), shares=shares, clips=count, example=example)


def _shared_by_sound(clips: Sequence[LabelledClip]) -> Iterator[SharedClips]:
    """Yield the recordings that two sources, or two videos of one, have under different names."""
    fingerprints: dict[str, Fingerprint] = {}
    groups: dict[str, str] = {}
    source_of: dict[str, str] = {}
    for clip in clips:
        words = None if clip.audio_fingerprint is None else decode_fingerprint(clip.audio_fingerprint, clip.key)
        if words is not None and len(np.unique(words)) > _DISTINCT_SHARE * len(words):
            identity = identify_clip(clip)
            # Clips of one recording share their sound, and those that share a name are told already.
            fingerprints[clip.key], groups[clip.key] = words, identity.film or identity.recording
            source_of[clip.key] = clip.source
    words_in_all = sum(map(len, fingerprints.values()))
    config = NearDuplicateConfig(index_every=1 + words_in_all // _INDEXED_WORDS)
    index, keys = NearDuplicateIndex(fingerprints, groups, config, seed=0), set(fingerprints)
    doubles: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key in sorted(fingerprints):
        match = index.find(key, keys)
        if match is not None:
            first, second = sorted((source_of[key], source_of[match.duplicate_of]))
            doubles.setdefault((first, second), []).append((key, match.duplicate_of))
    for sources, pairs in sorted(doubles.items()):
        yield SharedClips(sources=sources, shares="sound", clips=len(pairs), example=pairs[0])


def _describe(shared: SharedClips) -> str:
    first, second = shared.sources
    where = first if first == second else f"{first} and {second}"
    plural = {"recording": "recordings", "person": "people", "film": "films"}
    number = count_noun(shared.clips, "clip")
    example = f"as {shared.example[0]} and {shared.example[1]}"
    if shared.shares == "sound":
        return f"{where}: {number} with the sound of another recording, {example}; no name tells that: leave one out"
    return f"{where}: {number} of the same {plural[shared.shares]}, {example}; no test has them on both sides"


def _present(relation: Relation, sources: dict[str, int]) -> list[str]:
    return [source for source in relation.sources if source in sources]
