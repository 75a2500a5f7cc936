"""Clips of several folders of shards under one numbering, read by index, each with its record."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.corpus import Corpus, Source
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.labels import Labels

from avf_training.data.shard_folders import ShardFolders
from avf_training.data.storage import StorageConfig
from avf_training.tasks.catalog import Dataset

_SILENT_SHARE = 0.9  # a clip in which more than this share has no sound counts as silent


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """A clip of the shards with the labels of its record."""

    index: int  # in LabelledShards
    key: str  # of the clip in its shard
    source: str  # name of the corpus that the clip was curated from
    video_id: str  # of the video that the clip was cut from
    group_id: str  # videos of one recording share it
    speaker: str | None  # as the corpus names the person; None where it does not
    origin_id: str | None  # of the whole recording that the video was cut from, as its owners name it; None: unknown
    labels: Labels | None  # None where the record has none
    silent: bool  # the clip has no sound
    frames: int = 0  # length at 25 fps
    audio_fingerprint: str | None = None  # as in the record; None: not known


class LabelledShards(ShardFolders[ClipRecord]):
    """Reader over several folders of shards, with the interface of a `ClipReader`."""

    def __init__(self, shards: Sequence[str | Path], storage: StorageConfig) -> None:
        if not shards:
            raise UserError("no shards are given; name a folder of shards with --shards")
        super().__init__(shards, storage, "clips", ClipRecord.from_json)
        self.corpus = concat_corpora(self.corpora)  # all folders as one, so that the shard of a clip can be named
        self._clips: tuple[LabelledClip, ...] | None = None

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the files of a clip by kind, the record among them. Raises FaultError."""
        reader, index = self.locate(clip)
        return reader.read(index)

    def clips(self) -> tuple[LabelledClip, ...]:
        """Return every clip that was not deleted; records are read once. Raises FaultError naming the shard."""
        if self._clips is None:
            self._clips = tuple(_labelled_clip(index, record) for index, record in self.records())
        return self._clips

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the unit of each clip by its key, over which intervals of a data set's scores are taken.

        A unit is a person, or the session where folds are made of sessions, or the recording where the corpus names
        neither, or the original in detection; its first word says which. Sessions and files have an entry too, because
        predictions of some data sets are put together by them. Raises FaultError.
        """
        units: dict[str, str] = {}
        for clip in self.clips():
            labels = clip.labels
            kind = "session" if data.split == "session" else "person"
            name = labels and (labels.session if kind == "session" else labels.subject)
            unit = f"{kind} {clip.source}/{name}" if name else f"recording {clip.source}/{clip.group_id}"
            if data.task == "detection" and labels and labels.forgery:
                unit = f"original {clip.source}/{labels.forgery.original}"
                if clip.source == data.source:
                    units[clip.video_id] = unit
            units[clip.key] = unit
            if labels and labels.session:
                units.setdefault(labels.session, unit)
        return units


def _labelled_clip(index: int, record: ClipRecord) -> LabelledClip:
    scenes = record.measurements.scenes
    missing_s = 0.0 if scenes is None else scenes.no_sound_s
    return LabelledClip(
        index=index,
        key=record.key,
        source=record.source,
        video_id=record.video_id,
        group_id=record.group_id,
        speaker=record.speaker,
        origin_id=record.origin.id if record.origin else None,
        labels=record.labels,
        frames=record.span.frames,
        audio_fingerprint=record.audio_fingerprint,
        silent=missing_s > _SILENT_SHARE * record.span.seconds,
    )


def concat_corpora(corpora: Sequence[Corpus]) -> Corpus:
    """Concatenate corpora; a source that is in several of them becomes one source."""
    digest = hashlib.sha256(" ".join(corpus.digest for corpus in corpora).encode()).hexdigest()
    first, shards, sources = 0, 0, dict[str, list[Source]]()
    firsts = [np.zeros(1, np.int64)]
    for corpus in corpora:
        firsts.append(corpus.first_clip[1:] + first)
        for source in corpus.sources:
            shifted = Source(
                name=source.name, shards=source.shards + shards, clips=source.clips, seconds=source.seconds
            )
            sources.setdefault(source.name, []).append(shifted)
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
        content=corpora[0].content,
    )
