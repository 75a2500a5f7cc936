"""The check that validation pictures of image MAE show nobody whom it is trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.picture_record import PictureRecord
from avf_shards.text import count_noun

from avf_training.framewise.pictures.shards import PictureShards
from avf_training.tasks.learned_clips import LearnedClips


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What a validation picture has in common with training pictures."""

    key: str
    what: str


def refuse_seen_people(train: PictureShards, validation: PictureShards) -> None:
    """Raise UserError where validation pictures, or persons in them, are among those to train on; else do nothing.

    Pictures are compared by key and by the digest of the owners' file, and persons by the name that the corpus has for
    them. Names and keys are of one source, so only the training pictures of sources of validation are read.

    Raises FaultError for a record that cannot be read.
    """
    sources = {source.name for source in validation.corpus.sources}
    keys: set[str] = set()
    digests: set[str] = set()
    groups: set[tuple[str, str]] = set()
    for record in _records_of(train, sources):
        keys.add(record.key)
        digests.add(record.input_sha256)
        groups.add((record.source, record.group_id))
    total, shared = 0, []
    for _, record in validation.records():
        total += 1
        if record.key in keys:
            shared.append(_Shared(key=record.key, what="the same picture"))
        elif record.input_sha256 in digests:
            shared.append(_Shared(key=record.key, what="the same file"))
        elif (record.source, record.group_id) in groups:
            shared.append(_Shared(key=record.key, what=f"the person {record.group_id}"))
    if shared:
        raise UserError(
            f"--validation {', '.join(map(str, validation.shards))}: {len(shared)} of {count_noun(total, 'picture')} "
            f"are of what is trained on, as {shared[0].key} ({shared[0].what}), so scores would say nothing about "
            "new people; name shards of other people"
        )


def refuse_learned_pictures(learned: LearnedClips, validation: PictureShards, list_file: Path) -> None:
    """Raise UserError where validation pictures are in the list of what a model has learned; else do nothing.

    Args:
        learned: list of the run, which names pictures and no persons.
        validation: pictures to score on.
        list_file: of the list, for the message.
    """
    keys = [key for number in range(len(validation)) if (key := validation.key(number))]  # "" for a deleted picture
    digests = learned.labelled | learned.unlabelled
    seen = [key for key in keys if LearnedClips.from_keys([key], labelled=False).unlabelled & digests]
    if seen:
        raise UserError(
            f"--validation {', '.join(map(str, validation.shards))}: the model was trained on {len(seen)} of "
            f"{count_noun(len(keys), 'picture')}, as {seen[0]}, by {list_file}, so scores would say nothing about new "
            "people; name shards of other people, and with --shards those that it was trained on"
        )


def _records_of(shards: PictureShards, sources: set[str]) -> Iterator[PictureRecord]:
    """Yield the records of the pictures of some sources."""
    first = shards.corpus.first_clip
    chosen = [
        np.arange(first[shard], first[shard + 1])
        for source in shards.corpus.sources
        if source.name in sources
        for shard in source.shards.tolist()
    ]
    if chosen:
        yield from (record for _, record in shards.records(np.concatenate(chosen).tolist()))
