"""The labelled hybrid of post-pre-training: all aligned data sets as one task.

It is the second of three stages of progressive semantics injection (PSI; AVF-MAE++, Progressive Adaptation Training).

A model that was post-pre-trained on the hybrid is fine-tuned and tested on one fold of one of its data sets. No test
clip of that fold, and no recording, person or film of one, may be in the hybrid, in whichever release (relations.py).
"""

import logging
from collections.abc import Mapping, Sequence

from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import position_random

from avf_training.models.config import Modalities
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.tasks.label_alignment import ALIGNED, HYBRID_LABELS, MICRO_DATASETS, MICRO_LABELS
from avf_training.tasks.labelled_clips import LabelledClips, read_labelled_clips, usable_keys
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.relations import ClipIdentity, ExcludedClips, assert_no_leakage, group_related
from avf_training.tasks.task import Task, find_fold, split_validation

log = logging.getLogger(__name__)

MAX_VALIDATION_SHARE = 0.1
"""Share of a target's training fold that its hybrid leaves out, so that fine-tuning can select its epoch by them."""


def hybrid_task(
    target: Dataset,
    shards: LabelledShards,
    number: int,
    *,
    modalities: Modalities,
    validation_share: float,
    joining: Sequence[Dataset] = (),
) -> Task:
    """Return the labelled hybrid for fold `number` of `target`: every aligned data set in the shards.

    The fold's test clips, the validation clips of fine-tuning (up to MAX_VALIDATION_SHARE), and all other clips of
    their recordings, people and films are left out. Raises UserError for labels without an alignment and for a leak.

    Args:
        joining: data sets of the user, with an alignment, that join the hybrid.
    """
    alignments = _alignments(target, joining)
    target_clips = read_labelled_clips(shards, target)
    fold = find_fold(target_clips, number)
    # Fine-tuning may validate on any share up to the maximum; clips of a smaller share are a subset of these. With 0
    # nothing is kept back, as in the papers; a later start that would validate on such clips is refused.
    reserved_share = MAX_VALIDATION_SHARE if validation_share else 0.0
    parts = (*split_validation(target_clips, fold.train, reserved_share), fold.test)
    learned, reserved, test = ([target_clips.identity_of[key] for key in keys] for keys in parts)
    # Fine-tuning itself learns from `learned`: what these share with the reserved clips, the hybrid may have too.
    excluded = (ExcludedClips(test), ExcludedClips(reserved, allowed=learned))
    pool = _Pool(MICRO_LABELS if target.task == "micro_expression" else HYBRID_LABELS, excluded)
    for clips in _members(target, target_clips, shards, list(alignments), joining):
        pool.add(clips, alignments[clips.data.name], modalities)
    # `add` left related clips out already; this checks the result independently.
    assert_no_leakage(pool.identity_of.values(), test, f"{target.name}, fold {number}")
    if not pool.label_of:
        raise UserError(f"{target.name}: no aligned clip is left for its hybrid on these shards")
    name = f"hybrid for {target.name}/fold_{number}"
    log.info("%s: %d clips, %d left out for the test fold", name, len(pool.label_of), pool.excluded)
    data = Dataset(
        name=f"hybrid_{len(pool.labels)}",
        title="labelled hybrid",
        source="hybrid",
        task=target.task,
        labels=pool.used_labels(),
        folds=1,
        split="random",
        metrics=target.metrics,
        clips=0,
    )
    validation = pool.draw_validation(validation_share, f"{target.name} {number}")
    return Task(
        name=name,
        data=data,
        shards=shards,
        index_of=pool.index_of,
        truth={key: data.labels.index(label) for key, label in pool.label_of.items()},
        train=tuple(sorted(pool.label_of.keys() - validation)),
        validation=tuple(sorted(validation)),
        test=(),
        identity_of=pool.identity_of,
        summary={
            "members": pool.members,
            "excluded_for_the_test_fold": pool.excluded,
            "test_clips_of_the_fold": len(fold.test),
        },
    )


class _Pool:
    """The clips of a hybrid while its data sets are added one after the other."""

    def __init__(self, labels: Sequence[str], excluded_clips: Sequence[ExcludedClips]) -> None:
        self.labels, self.excluded_clips = labels, excluded_clips
        self.label_of: dict[str, str] = {}  # key -> label of the hybrid
        self.index_of: dict[str, int] = {}
        self.identity_of: dict[str, ClipIdentity] = {}
        self.members: dict[str, dict[str, int]] = {}  # data set -> label -> clips
        self.excluded = 0

    def add(self, clips: LabelledClips, alignment: Mapping[str, str], modalities: Modalities) -> None:
        """Add the aligned clips of a data set that are not related to an excluded clip."""
        native_of = {clip.key: clip.label for clip in clips.clips}
        for key in usable_keys(clips.data, list(native_of), clips.silent, modalities):
            label, identity = alignment.get(native_of[key]), clips.identity_of[key]
            if label is None or key in self.label_of:
                continue
            if any(each.overlap(identity) for each in self.excluded_clips):
                self.excluded += 1
                continue
            self.label_of[key], self.index_of[key] = label, clips.index_of[key]
            self.identity_of[key] = identity
            counts = self.members.setdefault(clips.data.name, dict.fromkeys(self.labels, 0))
            counts[label] += 1

    def draw_validation(self, share: float, name: str) -> set[str]:
        """Return the keys to select the epoch by: `share` of the clips, no person, film or recording of which is left
        to train on.

        Args:
            name: of the fold, which seeds the order.
        """
        groups = group_related(self.identity_of[key] for key in sorted(self.label_of))
        validation: set[str] = set()
        for group in sorted(groups, key=lambda group: position_random("hybrid", name, group).random())[1:]:
            if len(validation) >= round(share * len(self.label_of)):
                break
            validation |= {clip.key for clip in groups[group]}
        return validation

    def used_labels(self) -> tuple[str, ...]:
        """Return the labels that have a clip, in the order of the hybrid."""
        return tuple(label for label in self.labels if any(counts[label] for counts in self.members.values()))


def _alignments(target: Dataset, joining: Sequence[Dataset]) -> dict[str, Mapping[str, str]]:
    """Return the alignment of every data set that may be in the hybrid, the user's first."""
    tables: dict[str, Mapping[str, str]] = {
        data.name: data.alignment
        for data in (target, *joining)
        if data.alignment and data.in_hybrid and data.name not in ALIGNED
    }
    micro = target.task == "micro_expression"
    if not micro:
        tables |= ALIGNED
    if not micro and target.name not in tables and not target.alignment:
        raise UserError(f"{target.name}: its labels are in no hybrid; post-pre-train for one of {', '.join(tables)}")
    unknown = sorted({label for table in tables.values() for label in table.values()} - set(HYBRID_LABELS))
    if unknown:
        raise UserError(f"alignment: {unknown[0]!r} is no label of the hybrid; it has {', '.join(HYBRID_LABELS)}")
    return {name: {label: label for label in MICRO_LABELS} for name in MICRO_DATASETS} if micro else tables


def _members(
    target: Dataset,
    target_clips: LabelledClips,
    shards: LabelledShards,
    names: Sequence[str],
    joining: Sequence[Dataset],
) -> list[LabelledClips]:
    """Return the clips of each data set of the hybrid that is in the shards."""
    rows = {data.name: data for data in (target, *joining)}
    present = {source.name for source in shards.corpus.sources}
    members = []
    for name in names:
        data = rows[name] if name in rows else find_dataset(name)
        # Of two rows on one source (CREMA-D with six and with four classes) the target's is taken.
        if data.source in present and (data.source != target.source or name == target.name):
            members.append(target_clips if name == target.name else read_labelled_clips(shards, data))
    return members
