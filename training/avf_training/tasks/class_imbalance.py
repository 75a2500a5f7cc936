"""Remedies for classes of very different size: their settings, and the numbers that follow from the counts of clips.

The papers use none of them, and all are off by default. Shapes: C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from avf_shards.sampling.mixture import shares
from avf_shards.settings.config import refuse

ClassSampling = Literal["natural", "square_root", "balanced"]
ClassWeights = Literal["none", "square_root", "balanced"]


@dataclass(frozen=True, kw_only=True)
class ImbalanceConfig:
    """Settings against classes of very different size, for data sets of classes."""

    # Clips of a class in an epoch: as many as it has (`natural`, as in the papers), in proportion to the square root of
    # that, or the same number of each class. The length of an epoch stays.
    sampling: ClassSampling = "natural"
    # Weight of a class in the loss, in proportion to 1 over the square root of its clips in an epoch, or over their
    # number. The mean over the clips of an epoch is 1, so the learning rate keeps its meaning.
    weights: ClassWeights = "none"
    # tau of Menon et al. (2021, eq. 10): the loss is of logits + tau * log(share of the class in an epoch). 1 aims at
    # the mean recall of the classes (UAR), 0 is off.
    logit_adjustment: float = 0.0
    # gamma of the focal loss (Lin et al. 2017): each term is multiplied by (1 - probability) ** gamma. 0 is off.
    focal: float = 0.0

    def __post_init__(self) -> None:
        refuse(
            (
                not 0 <= self.logit_adjustment <= 10,
                f"logit_adjustment {self.logit_adjustment:g} must be 0 to 10; 1 is the usual value",
            ),
            (not 0 <= self.focal <= 10, f"focal {self.focal:g} must be 0 to 10; 2 is the usual value"),
        )

    @property
    def any(self) -> bool:
        """Return whether anything differs from the papers' training."""
        return self != ImbalanceConfig()


def epoch_counts(counts: Sequence[int], sampling: ClassSampling, total: int | None = None) -> list[int]:
    """Return the clips of each class in an epoch; a class without a clip has none.

    Args:
        counts: clips of each class that there are.
        sampling: what their shares of an epoch follow.
        total: clips of the epoch; None: as many as there are.
    """
    power = {"natural": 1.0, "square_root": 0.5, "balanced": 0.0}[sampling]
    return shares([count**power if count else 0.0 for count in counts], sum(counts) if total is None else total)


def class_weights(counts: Sequence[int], kind: ClassWeights) -> npt.NDArray[np.float64]:
    """Return the weight of each class in the loss, (C,), whose mean over the clips of an epoch is 1.

    Args:
        counts: clips of each class in an epoch, as sampled; the weight of a class without a clip is 0.
    """
    count_C = np.array(counts, float)
    power = {"none": 0.0, "square_root": -0.5, "balanced": -1.0}[kind]
    weight_C = np.zeros(len(count_C))
    weight_C[count_C > 0] = count_C[count_C > 0] ** power
    weights: npt.NDArray[np.float64] = weight_C * count_C.sum() / (weight_C * count_C).sum()
    return weights


def log_priors(counts: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the logarithm of each class's share of an epoch, (C,); a class without a clip counts as half of one."""
    # A share of 0 would make the loss infinite where label smoothing gives the class a target.
    count_C = np.maximum(np.array(counts, float), 0.5)
    priors: npt.NDArray[np.float64] = np.log(count_C / count_C.sum())
    return priors
