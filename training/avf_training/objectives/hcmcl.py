"""HCMCL: hierarchical cross-modal contrastive learning (HiCMAE 3.5).

Shapes: B batch, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def similarity(video_BC: Tensor, audio_BC: Tensor, temperature: float) -> Tensor:
    """Cosine of each video with each sound over `temperature`, (B, B); row: video, column: sound."""
    return F.normalize(video_BC, dim=-1) @ F.normalize(audio_BC, dim=-1).T / temperature


def contrastive(video_BC: Tensor, audio_BC: Tensor, temperature: float) -> Tensor:
    """Symmetric cross-entropy of one level: half from video to sound, half from sound to video."""
    if len(video_BC) < 2:
        raise ValueError("batch of 1: the contrastive loss needs at least 2 clips, the others are its negatives")
    scores_BB = similarity(video_BC, audio_BC, temperature)
    own_B = torch.arange(len(scores_BB), device=scores_BB.device)
    return (F.cross_entropy(scores_BB, own_B) + F.cross_entropy(scores_BB.T, own_B)) / 2
