"""Which labelled pictures are trained on and which are scored: by the owners' sets, or by whole persons."""

from dataclasses import dataclass

from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import position_random
from avf_shards.text import count_noun

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.labels.shared_people import warn_of_shared
from avf_training.framewise.pictures.labelled import LabelledPictures

log = log_of_rank_0(__name__)


@dataclass(frozen=True, kw_only=True)
class PictureSplit:
    """Rows of the labelled pictures; no group is in both."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def split_pictures(pictures: LabelledPictures, share: float) -> PictureSplit:
    """Return the pictures to train on and those to score.

    Those of the owners' validation set are scored; where there are none, the groups of a share of the others. Their
    test sets are left out. Raises UserError where nothing is left to train on or to score.

    Args:
        pictures: of all sets.
        share: of the groups that are held out where owners made no set; drawn by their names alone.
    """
    rows = range(len(pictures.pictures))
    validation = [row for row in rows if pictures.pictures[row].subset == "validation"]
    others = [row for row in rows if pictures.pictures[row].subset in ("train", None)]
    if not validation:
        groups = sorted({pictures.pictures[row].group for row in others})
        held = {groups[i] for i in position_random("held out").permutation(len(groups))[: round(share * len(groups))]}
        validation = [row for row in others if pictures.pictures[row].group in held]
    scored = {pictures.pictures[row].group for row in validation}
    train = [row for row in others if pictures.pictures[row].group not in scored]
    shared = sum(pictures.pictures[row].subset == "train" for row in others) - sum(
        pictures.pictures[row].subset == "train" for row in train
    )
    if shared:
        log.warning("%s left out of training: persons or videos of validation pictures", count_noun(shared, "picture"))
    tested = {pictures.pictures[row].group for row in rows if pictures.pictures[row].subset == "test"}
    # Training and validation share none: what both had was left out above.
    warn_of_shared({"training": {pictures.pictures[row].group for row in train}, "validation": scored, "test": tested})
    if not train or not validation:
        raise UserError(
            f"{count_noun(len(train), 'picture')} to train on and {len(validation)} to score, by the owners' sets and "
            f"validation_share {share:g}; both are needed: give more persons, or a larger validation_share"
        )
    return PictureSplit(train=tuple(train), validation=tuple(validation))
