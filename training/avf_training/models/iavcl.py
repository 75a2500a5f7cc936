"""IAV-CL: iterative audio-visual correlation learning (AVF-MAE++ 3.3, eq. 11 to 19).

DiER units refine both modalities, ER keeps an overall context between them, HAFE fuses what the units gave.
Shapes: B batch, N video tokens, M audio tokens, O overall tokens, U units, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.models.attention import CrossAttention, CrossBlock, FeedForward, SelfAttention, attend, drop_path
from avf_training.models.config import ModelConfig


class _Exchange(nn.Module):
    """One modality's half of a DiER unit: self- and cross-attention side by side, each with a feed-forward, gated."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float) -> None:
        super().__init__()
        self.self_norm, self.self_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.self_mlp_norm, self.self_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.cross_norm, self.cross_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.cross_attn = CrossAttention(width, heads)
        self.cross_mlp_norm, self.cross_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.self_gate, self.cross_gate = nn.Linear(2 * width, width), nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.drop = drop_path(drop)

    def forward(self, x_BNC: Tensor, other_BMC: Tensor) -> Tensor:
        own = x_BNC + self.drop(self.self_attn(self.self_norm(x_BNC)))
        own = own + self.drop(self.self_mlp(self.self_mlp_norm(own)))
        asked = self.cross_attn(self.cross_norm(x_BNC), self.cross_context_norm(other_BMC))
        cross = x_BNC + self.drop(asked)
        cross = cross + self.drop(self.cross_mlp(self.cross_mlp_norm(cross)))
        both = torch.cat((own, cross), -1)
        return self.norm(self.self_gate(both).sigmoid() * own + self.cross_gate(both).sigmoid() * cross)


class DiERUnit(nn.Module):
    """Dual-interaction enhancement and refinement (eq. 12 to 14, with the authors' feed-forwards)."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float) -> None:
        super().__init__()
        self.video = _Exchange(width, heads, ratio, eps, drop)
        self.audio = _Exchange(width, heads, ratio, eps, drop)

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        return self.video(video_BNC, audio_BMC), self.audio(audio_BMC, video_BNC)


class CrossUnit(nn.Module):
    """HiCMAE's fusion blocks in a unit's place (Table 21 without DiER)."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float) -> None:
        super().__init__()
        self.video, self.audio = (CrossBlock(width, heads, ratio, eps, drop) for _ in range(2))

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        return self.video(video_BNC, audio_BMC), self.audio(audio_BMC, video_BNC)


class UnitBatchNorm(nn.BatchNorm1d):
    """Batch norm of a layer that all units share: one weight and bias, running statistics (U, C) of each unit's own.

    Units give it different distributions. With one pair of running statistics for all, as the authors have it, what is
    computed in evaluation is of neither unit, and answers swing from epoch to epoch.
    """

    def __init__(self, width: int, units: int) -> None:
        super().__init__(width)
        self.running_mean, self.running_var = torch.zeros(units, width), torch.ones(units, width)

    def forward(self, x_BCO: Tensor, unit: int = 0) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        mean_C, var_C = self.running_mean[unit], self.running_var[unit]
        momentum = self.momentum or 0.0
        return F.batch_norm(x_BCO, mean_C, var_C, self.weight, self.bias, self.training, momentum, self.eps)


class RefineBlock(nn.Module):
    """1x1 convolution, batch norm and PReLU over tokens: (B, O, C) -> the same. units: with statistics of their own."""

    def __init__(self, width: int, units: int | None) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(width) if units is None else UnitBatchNorm(width, units)
        self.conv, self.norm, self.act = nn.Conv1d(width, width, 1), norm, nn.PReLU()

    def forward(self, x_BOC: Tensor, unit: int) -> Tensor:
        x_BCO = self.conv(x_BOC.transpose(1, 2))
        normed = self.norm(x_BCO, unit) if isinstance(self.norm, UnitBatchNorm) else self.norm(x_BCO)
        return self.act(normed).transpose(1, 2)


class EvolutionaryRefinement(nn.Module):
    """ER: the overall context asks both modalities, without projections (eq. 15, 16). One copy serves all units."""

    def __init__(self, width: int, units: int | None) -> None:
        super().__init__()
        self.reduce = nn.Linear(2 * width, width)
        self.audio, self.video = RefineBlock(width, units), RefineBlock(width, units)
        self.norm = nn.LayerNorm(width)  # the default eps of 1e-5, as in the authors' code

    def forward(self, overall_BOC: Tensor, video_BNC: Tensor, audio_BMC: Tensor, unit: int) -> Tensor:
        """After unit number `unit`. Attention scores are scaled by 1 / sqrt(C): one head over the whole width."""
        video = self.video(attend(overall_BOC, video_BNC, video_BNC, 1), unit)
        audio = self.audio(attend(overall_BOC, audio_BMC, audio_BMC, 1), unit)
        return self.norm(overall_BOC + audio + video)


class _Select(nn.Module):
    """One modality's half of HAFE: what each unit gave, related to each other and weighed by a gate (eq. 17, 18)."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float) -> None:
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.mlp_norm, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.gate = nn.Linear(width, 1)
        self.cross_norm = nn.LayerNorm(width, eps)
        self.cross_mlp_norm, self.cross_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.drop = drop_path(drop)

    def weigh(self, units: list[Tensor]) -> Tensor:
        """(B, N, C) of each unit -> (B, N, C)."""
        y_GUC = torch.stack(units, 2).flatten(0, 1)
        y = y_GUC + self.drop(self.attn(self.norm(y_GUC)))
        y = y + self.drop(self.mlp(self.mlp_norm(y)))
        return (self.gate(y).sigmoid() * y).sum(1).unflatten(0, units[0].shape[:2])

    def finish(self, s_BNC: Tensor, asked_BNC: Tensor) -> Tensor:
        s = s_BNC + self.drop(asked_BNC)
        return s + self.drop(self.cross_mlp(self.cross_mlp_norm(s)))


class HAFE(nn.Module):
    """Hierarchical audio-visual fusion: both modalities ask the overall context with one shared attention (eq. 19)."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float) -> None:
        super().__init__()
        self.video, self.audio = (_Select(width, heads, ratio, eps, drop) for _ in range(2))
        self.context_norm, self.cross_attn = nn.LayerNorm(width, eps), CrossAttention(width, heads)

    def forward(self, videos: list[Tensor], audios: list[Tensor], overall_BOC: Tensor) -> tuple[Tensor, Tensor]:
        context = self.context_norm(overall_BOC)

        def fuse(select: _Select, units: list[Tensor]) -> Tensor:
            s = select.weigh(units)
            return select.finish(s, self.cross_attn(select.cross_norm(s), context))

        return fuse(self.video, videos), fuse(self.audio, audios)


class IAVCL(nn.Module):
    """(B, N, C) video, (B, M, C) audio and the overall context (B, O, 2C) -> fused video and audio."""

    def __init__(self, config: ModelConfig, drop: float = 0.0) -> None:
        super().__init__()
        width, units, heads = config.video.width, config.fusion_depth, config.fusion_heads
        ratio, eps = config.mlp_ratio, config.norm_eps
        rates = [drop * unit / max(1, units - 1) for unit in range(units)]
        kind = DiERUnit if config.dier else CrossUnit
        self.units = nn.ModuleList(kind(width, heads, ratio, eps, rate) for rate in rates)
        if config.hafe:
            self.refinement = EvolutionaryRefinement(width, units if config.statistics == "per_unit" else None)
            self.hafe = HAFE(width, heads, ratio, eps, drop / 2)  # the authors drop half as often here
        else:
            self.norm, self.norm_audio = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.with_hafe = config.hafe

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor, overall_BOE: Tensor) -> tuple[Tensor, Tensor]:
        """Raises ValueError while training on a batch that leaves one value per channel: batch norm cannot use it."""
        if not self.with_hafe:
            for unit in self.units:
                video_BNC, audio_BMC = unit(video_BNC, audio_BMC)
            return self.norm(video_BNC), self.norm_audio(audio_BMC)
        if self.training and overall_BOE.shape[0] * overall_BOE.shape[1] == 1:
            raise ValueError("batch of 1: the refinement layer's batch norm needs at least 2 clips while training")
        overall = self.refinement.reduce(overall_BOE)
        videos, audios = [], []
        for number, unit in enumerate(self.units):
            video_BNC, audio_BMC = unit(video_BNC, audio_BMC)
            overall = self.refinement(overall, video_BNC, audio_BMC, number)
            videos.append(video_BNC)
            audios.append(audio_BMC)
        return self.hafe(videos, audios, overall)
