"""Measures of frozen features that need no labels, and the alarm for features that have collapsed.

Shapes: N clips, C width.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_RANK_SHARE = 0.05  # of the dimensions that N clips of C numbers can have
_LEAST_RANK = 2.0  # features on a line tell at most more from less
# 0: all features are one point. A large common part, as features of masked autoencoders have, is no collapse: -0.001
# are 1.3 degrees between two clips.
_MOST_UNIFORMITY = -0.001


@dataclass(frozen=True, kw_only=True)
class FeatureHealth:
    """How the features of clips are spread, of both modalities or of the one that a model has."""

    clips: int  # clips that were measured
    effective_rank: dict[str, float]  # modality -> dimensions that its features fill (Roy and Vetterli 2007)
    possible_rank: dict[str, int]  # modality -> dimensions that so many clips of this width can fill
    uniformity: dict[str, float]  # modality -> log mean exp(-2 d^2) of pairs of clips; 0: one point, -4: spread evenly
    alignment: float | None = None  # mean d^2 of a clip's video and audio, 0 to 4; None: one modality, other widths
    recall_video_to_audio: float | None = None  # R@1: clips whose own audio is the nearest of all clips' audio
    recall_audio_to_video: float | None = None  # R@1: clips whose own video is the nearest of all clips' video

    def alarms(self) -> list[str]:
        """Return a sentence for each modality whose features have collapsed."""
        sentences = []
        for name, rank in self.effective_rank.items():
            # A few clips fill few dimensions whatever the model: of those, half must be filled.
            least = min(_LEAST_RANK, self.possible_rank[name] / 2)
            least = max(least, _LEAST_RANK_SHARE * self.possible_rank[name])
            if rank < least:
                sentences.append(
                    f"the {name} features of {self.clips} clips fill {rank:.2f} of {self.possible_rank[name]} "
                    f"dimensions (effective rank; below {least:.2f} counts as collapsed)"
                )
            elif self.uniformity[name] > _MOST_UNIFORMITY:
                sentences.append(
                    f"the {name} features of {self.clips} clips are nearly one point (uniformity "
                    f"{self.uniformity[name]:.5f}; above {_MOST_UNIFORMITY} counts as collapsed)"
                )
        return sentences

    def values(self) -> dict[str, float]:
        """Return the measures by the names of curves; those that a model lacks are left out."""
        values = {f"rank/{name}": rank for name, rank in self.effective_rank.items()}
        values |= {f"uniformity/{name}": value for name, value in self.uniformity.items()}
        for name in ("alignment", "recall_video_to_audio", "recall_audio_to_video"):
            if (value := asdict(self)[name]) is not None:
                values[name.replace("recall_", "R@1/")] = value
        return values


def measure_features(features: dict[str, Tensor]) -> FeatureHealth:
    """Return the measures of features of the same clips by modality, (N, C) each. Raises ValueError for one clip."""
    clips = min(len(feature_NC) for feature_NC in features.values())
    if clips < 2:
        raise ValueError(f"{clips} clips: the spread of features needs at least 2")
    unit = {name: F.normalize(feature_NC.double(), dim=-1) for name, feature_NC in features.items()}
    pair: dict[str, float] = {}
    if len(unit) == 2 and unit["video"].shape == unit["audio"].shape:
        scores_NN = unit["video"] @ unit["audio"].T
        own_N = torch.arange(clips)
        pair["alignment"] = float((unit["video"] - unit["audio"]).square().sum(-1).mean())
        pair["recall_video_to_audio"] = float((scores_NN.argmax(1) == own_N).double().mean())
        pair["recall_audio_to_video"] = float((scores_NN.argmax(0) == own_N).double().mean())
    return FeatureHealth(
        clips=clips,
        effective_rank={name: effective_rank(feature_NC) for name, feature_NC in features.items()},
        possible_rank={name: min(clips - 1, feature_NC.shape[1]) for name, feature_NC in features.items()},
        uniformity={name: uniformity(unit_NC) for name, unit_NC in unit.items()},
        **pair,
    )


def effective_rank(feature_NC: Tensor) -> float:
    """Return exp of the entropy of the normalised singular values of the centred features; 1 where all are equal."""
    centred_NC = feature_NC.double() - feature_NC.double().mean(0)
    singular = torch.linalg.svdvals(centred_NC)
    # What rounding leaves of equal features has a full rank of its own; it is no spread.
    noise = torch.finfo(torch.float32).eps * float(feature_NC.double().norm())
    singular = singular[singular > noise]
    if not len(singular):
        return 1.0
    share = singular / singular.sum()
    return math.exp(-float((share * share.log()).sum()))


def uniformity(unit_NC: Tensor) -> float:
    """Return log mean exp(-2 |x - y|^2) over all pairs of clips' features of length 1 (Wang and Isola 2020)."""
    return float((-2 * torch.pdist(unit_NC).square()).exp().mean().log())
