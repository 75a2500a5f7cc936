"""The clips that NetEase's second branch learns from: the hard ones, and as many others, drawn anew each epoch."""

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers

HARD_SHARE = 0.3  # of all clips; the authors' choice is not public


def draw_hard_clips(losses_K: Floats, *, seed: int, epoch: int, hard_share: float = HARD_SHARE) -> WholeNumbers:
    """Return the clips of an epoch, sorted: those with the largest loss of the base branch, and as many of the others.

    The same seed and epoch give the same clips. Where fewer others are left than hard ones, all are taken. Raises
    UserError for a share outside 0..1, and for losses that are no numbers.

    Args:
        losses_K: of the base branch on each clip of training.
        seed: of the run.
        epoch: from 0.
        hard_share: of the clips, one at least.
    """
    if not 0 < hard_share <= 1:
        raise UserError(f"hard_share: {hard_share:g}; it is above 0 and at most 1")
    if not np.isfinite(losses_K).all():
        raise UserError(f"the loss of clip {int(np.flatnonzero(~np.isfinite(losses_K))[0])} is not finite")
    by_loss = np.argsort(-np.asarray(losses_K), kind="stable")
    hard = max(1, round(hard_share * len(by_loss)))
    others = np.random.default_rng((seed, epoch)).permutation(by_loss[hard:])[:hard]
    return np.sort(np.concatenate([by_loss[:hard], others])).astype(np.int64)
