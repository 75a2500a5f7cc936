"""HCMCL: hierarchical cross-modal contrastive learning (HiCMAE 3.2, eq. 9 and 10).

Shapes: B clips of this rank, G clips compared with, C width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.distributed.collectives import all_gather_features

Negatives = Literal["local", "all_ranks"]


def cosine_similarity(query_BC: Tensor, key_GC: Tensor, temperature: float) -> Tensor:
    """Return the cosine of each query with each key, divided by `temperature`, (B, G)."""
    return F.normalize(query_BC, dim=-1) @ F.normalize(key_GC, dim=-1).T / temperature


def contrastive_loss(video_BC: Tensor, audio_BC: Tensor, temperature: float, negatives: Negatives = "local") -> Tensor:
    """Return the symmetric InfoNCE loss of one level: half from video to audio, half from audio to video.

    negatives: the other clips of this rank, as in the authors' code, or those of all ranks. Raises ValueError for a
    single clip, which has no negatives.
    """
    if len(video_BC) < 2:
        raise ValueError("batch of 1: the contrastive loss needs at least 2 clips, the others are its negatives")
    video_GC, audio_GC, first = video_BC, audio_BC, 0
    if negatives == "all_ranks":
        (video_GC, first), (audio_GC, _) = all_gather_features(video_BC), all_gather_features(audio_BC)
    positive_B = torch.arange(first, first + len(video_BC), device=video_BC.device)
    to_audio = F.cross_entropy(cosine_similarity(video_BC, audio_GC, temperature), positive_B)
    return (to_audio + F.cross_entropy(cosine_similarity(audio_BC, video_GC, temperature), positive_B)) / 2
