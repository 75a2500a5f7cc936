"""HCMCL: hierarchical cross-modal contrastive learning (HiCMAE 3.5).

Shapes: B batch, G all clips compared with, C width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.distributed.collectives import all_gather_features

Negatives = Literal["own", "gathered"]


def similarity(one_BC: Tensor, other_GC: Tensor, temperature: float) -> Tensor:
    """Cosine of each row with each of the other modality's over `temperature`, (B, G)."""
    return F.normalize(one_BC, dim=-1) @ F.normalize(other_GC, dim=-1).T / temperature


def contrastive(video_BC: Tensor, audio_BC: Tensor, temperature: float, negatives: Negatives = "own") -> Tensor:
    """Symmetric cross-entropy of one level: half from video to sound, half from sound to video.

    negatives: the other clips of this process, as the authors have it, or those of all processes.
    """
    if len(video_BC) < 2:
        raise ValueError("batch of 1: the contrastive loss needs at least 2 clips, the others are its negatives")
    videos_GC, sounds_GC, first = video_BC, audio_BC, 0
    if negatives == "gathered":
        (videos_GC, first), (sounds_GC, _) = all_gather_features(video_BC), all_gather_features(audio_BC)
    own_B = torch.arange(first, first + len(video_BC), device=video_BC.device)
    to_sound = F.cross_entropy(similarity(video_BC, sounds_GC, temperature), own_B)
    return (to_sound + F.cross_entropy(similarity(audio_BC, videos_GC, temperature), own_B)) / 2
