"""HCMCL: hierarchical cross-modal contrastive learning (HiCMAE 3.2, eq. 9 and 10).

Shapes: B clips of this rank, G clips compared with, C width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.distributed.collectives import all_gather_features
from avf_training.models.config import Negatives


@dataclass(frozen=True, kw_only=True)
class NegativeClips:
    """The clips that a clip is compared with."""

    source: Negatives = "local"  # the other clips of this rank, as in the authors' code, or those of all ranks
    clips: int | None = (
        None  # size of the groups of clips, in their order, that are compared with each other; None: all
    )


LOCAL = NegativeClips()  # the authors'


def cosine_similarity(query_BC: Tensor, key_GC: Tensor, temperature: float) -> Tensor:
    """Return the cosine of each query with each key, divided by `temperature`, (B, G)."""
    return F.normalize(query_BC, dim=-1) @ F.normalize(key_GC, dim=-1).T / temperature


def contrastive_loss(
    video_BC: Tensor, audio_BC: Tensor, temperature: float, negatives: NegativeClips = LOCAL
) -> Tensor:
    """Return the symmetric InfoNCE loss of one level: half from video to audio, half from audio to video.

    Raises ValueError for a single clip, which has no negatives, and for groups that do not fill the clips.
    """
    clips = negatives.clips
    if len(video_BC) < 2:
        raise ValueError("batch of 1: the contrastive loss needs at least 2 clips, the others are its negatives")
    video_GC, audio_GC, first = video_BC, audio_BC, 0
    if negatives.source == "all_ranks":
        (video_GC, first), (audio_GC, _) = all_gather_features(video_BC), all_gather_features(audio_BC)
    total = len(video_GC)
    if clips is not None and total % clips:
        raise ValueError(f"{total} clips are no multiple of the {clips} of a group")
    positive_B = torch.arange(first, first + len(video_BC), device=video_BC.device)
    to_audio_BG = cosine_similarity(video_BC, audio_GC, temperature)
    to_video_BG = cosine_similarity(audio_BC, video_GC, temperature)
    if clips is not None and clips < total:
        group_G = torch.arange(total, device=video_BC.device) // clips
        other_BG = group_G[positive_B][:, None] != group_G
        to_audio_BG, to_video_BG = (x.masked_fill(other_BG, float("-inf")) for x in (to_audio_BG, to_video_BG))
    return (F.cross_entropy(to_audio_BG, positive_B) + F.cross_entropy(to_video_BG, positive_B)) / 2
