"""IAV-CL: the Iteratively Audio-Visual Correlations Learning Module (AVF-MAE++ 3.4, eq. 11 to 19).

DiER (Dense Interactions and Evolutionary Refinement) units refine both modalities one after the other. Their ER
(Evolutionary Refinement) layer keeps the multi-modal feature F_av, which is called the context here. The HAFE
(Hierarchical Aggregations and Feedback Enhancement) layer fuses the outputs of all units under its feedback. Where the
paper leaves details open, the module follows the authors' code.

Shapes: B batch, N video tokens, M audio tokens, O tokens of the context, U units, C width, E = 2C, G = B * N.
"""

import torch
from torch import Tensor, nn

from avf_training.models.attention import (
    BlockConfig,
    CrossAttention,
    CrossBlock,
    FeedForward,
    SelfAttention,
    attend,
)
from avf_training.models.batch_norm import UnitBatchNorm
from avf_training.models.config import ModelConfig
from avf_training.models.drop_path import DropPath


class DenseInteraction(nn.Module):
    """One modality's half of a DiER unit: self- and cross-attention in parallel, summed with gates (eq. 12 to 14).

    As in the authors' code, a feed-forward network follows each attention, and a layer norm follows the gates.
    """

    def __init__(self, config: BlockConfig, drop: float) -> None:
        super().__init__()
        width, heads, ratio, eps = config.width, config.heads, config.mlp_ratio, config.norm_eps
        self.self_norm, self.self_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.self_mlp_norm, self.self_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.cross_norm, self.cross_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.cross_attn = CrossAttention(width, heads)
        self.cross_mlp_norm, self.cross_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.self_gate, self.cross_gate = nn.Linear(2 * width, width), nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.drop = DropPath(drop)

    def forward(self, x_BNC: Tensor, other_BMC: Tensor) -> Tensor:
        """Return (B, N, C) for the modality `x`; `other` is the other modality."""
        self_BNC = x_BNC + self.drop(self.self_attn(self.self_norm(x_BNC)), 0)
        self_BNC = self_BNC + self.drop(self.self_mlp(self.self_mlp_norm(self_BNC)), 1)
        attended = self.cross_attn(self.cross_norm(x_BNC), self.cross_context_norm(other_BMC))
        cross_BNC = x_BNC + self.drop(attended, 2)
        cross_BNC = cross_BNC + self.drop(self.cross_mlp(self.cross_mlp_norm(cross_BNC)), 3)
        concat_BNE = torch.cat((self_BNC, cross_BNC), -1)
        self_gate, cross_gate = self.self_gate(concat_BNE).sigmoid(), self.cross_gate(concat_BNE).sigmoid()
        return self.norm(self_gate * self_BNC + cross_gate * cross_BNC)


class DiERUnit(nn.Module):
    """The dense interactions of both modalities in a DiER unit; all units share one `EvolutionaryRefinement`."""

    def __init__(self, config: BlockConfig, drop: float) -> None:
        super().__init__()
        self.video = DenseInteraction(config, drop)
        self.audio = DenseInteraction(config, drop)

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Return both modalities, each computed from the unit's inputs."""
        return self.video(video_BNC, audio_BMC), self.audio(audio_BMC, video_BNC)


class CrossUnit(nn.Module):
    """HiCMAE's fusion blocks in place of a DiER unit (AVF-MAE++ Table 21, without DiER)."""

    def __init__(self, config: BlockConfig, drop: float) -> None:
        super().__init__()
        self.video, self.audio = (CrossBlock(config, drop) for _ in range(2))

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Return both modalities, each computed from the unit's inputs."""
        return self.video(video_BNC, audio_BMC), self.audio(audio_BMC, video_BNC)


class RefineBlock(nn.Module):
    """The convolutional block of eq. 15: 1x1 convolution, batch norm and PReLU over tokens.

    per_unit: each of the `units` units has running statistics of its own; otherwise one pair serves all.
    """

    def __init__(self, width: int, units: int, per_unit: bool) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(width, width, 1), nn.PReLU()
        self.norm = UnitBatchNorm(width, units, per_unit)

    def forward(self, x_BOC: Tensor, unit: int) -> Tensor:
        """Return (B, O, C)."""
        return self.act(self.norm(self.conv(x_BOC.transpose(1, 2)), unit)).transpose(1, 2)


class EvolutionaryRefinement(nn.Module):
    """ER layer: the context attends to both modalities, without projections (eq. 15, 16). All units share it."""

    def __init__(self, width: int, units: int, per_unit: bool) -> None:
        super().__init__()
        self.reduce = nn.Linear(2 * width, width)  # F_av^0 to F_av^1
        self.audio, self.video = (RefineBlock(width, units, per_unit) for _ in range(2))
        self.norm = nn.LayerNorm(width)  # torch's epsilon of 1e-5, as in the authors' code, unlike all other norms

    def forward(self, context_BOC: Tensor, video_BNC: Tensor, audio_BMC: Tensor, unit: int) -> Tensor:
        """Return the context (B, O, C) after unit number `unit`. One head spans the width: scores / sqrt(C)."""
        video = self.video(attend(context_BOC, video_BNC, video_BNC, 1), unit)
        audio = self.audio(attend(context_BOC, audio_BMC, audio_BMC, 1), unit)
        return self.norm(context_BOC + audio + video)


class HierarchicalAggregation(nn.Module):
    """One modality's half of the HAFE layer: attention among the units' outputs, and their gated sum (eq. 17, 18)."""

    def __init__(self, config: BlockConfig, drop: float) -> None:
        super().__init__()
        width, heads, ratio, eps = config.width, config.heads, config.mlp_ratio, config.norm_eps
        self.norm, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.mlp_norm, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.gate = nn.Linear(width, 1)
        self.cross_norm = nn.LayerNorm(width, eps)
        self.cross_mlp_norm, self.cross_mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.drop = DropPath(drop)

    def aggregate(self, units: list[Tensor]) -> Tensor:
        """Return the weighted sum (B, N, C) of each unit's (B, N, C)."""
        # Attention runs over the units of each token: a sequence of length U for each of the B * N tokens.
        y_GUC = torch.stack(units, 2).flatten(0, 1)
        y_GUC = y_GUC + self.drop(self.attn(self.norm(y_GUC)), 0)
        y_GUC = y_GUC + self.drop(self.mlp(self.mlp_norm(y_GUC)), 1)
        return (self.gate(y_GUC).sigmoid() * y_GUC).sum(1).unflatten(0, units[0].shape[:2])

    def enhance(self, s_BNC: Tensor, feedback_BNC: Tensor) -> Tensor:
        """Return the aggregated tokens with the feedback of the context added (B, N, C)."""
        s_BNC = s_BNC + self.drop(feedback_BNC, 2)
        return s_BNC + self.drop(self.cross_mlp(self.cross_mlp_norm(s_BNC)), 3)


class HAFE(nn.Module):
    """Hierarchical Aggregations and Feedback Enhancement layer.

    Both modalities attend to the context with one shared cross-attention (eq. 19).
    """

    def __init__(self, config: BlockConfig, drop: float) -> None:
        super().__init__()
        self.video, self.audio = (HierarchicalAggregation(config, drop) for _ in range(2))
        self.context_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.cross_attn = CrossAttention(config.width, config.heads)

    def forward(self, videos: list[Tensor], audios: list[Tensor], context_BOC: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused video (B, N, C) and audio (B, M, C) from each unit's outputs."""
        context_BOC = self.context_norm(context_BOC)

        def fuse(layer: HierarchicalAggregation, units: list[Tensor]) -> Tensor:
            aggregated = layer.aggregate(units)
            return layer.enhance(aggregated, self.cross_attn(layer.cross_norm(aggregated), context_BOC))

        return fuse(self.video, videos), fuse(self.audio, audios)


class IAVCL(nn.Module):
    """IAV-CL Module: video (B, N, C), audio (B, M, C) and the context (B, O, 2C) to fused video and audio."""

    def __init__(self, config: ModelConfig, drop: float = 0.0) -> None:
        super().__init__()
        width, units = config.video.width, config.fusion_depth
        block = BlockConfig(
            width=width, heads=config.fusion_heads, mlp_ratio=config.mlp_ratio, norm_eps=config.norm_eps
        )
        rates = [drop * unit / max(1, units - 1) for unit in range(units)]
        kind = DiERUnit if config.dier else CrossUnit
        self.units = nn.ModuleList(kind(block, rate) for rate in rates)
        if config.hafe:
            per_unit = config.batch_norm_statistics == "per_unit"
            self.refinement = EvolutionaryRefinement(width, units, per_unit)
            self.hafe = HAFE(block, drop / 2)  # the authors' code drops half as often here
        else:
            self.norm, self.norm_audio = nn.LayerNorm(width, config.norm_eps), nn.LayerNorm(width, config.norm_eps)
        self.with_hafe = config.hafe

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor, context_BOE: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused video and audio.

        Raises ValueError while training on a batch that leaves one value per channel: its variance is undefined, so
        batch norm cannot use it.
        """
        if not self.with_hafe:
            for unit in self.units:
                video_BNC, audio_BMC = unit(video_BNC, audio_BMC)
            return self.norm(video_BNC), self.norm_audio(audio_BMC)
        if self.training and context_BOE.shape[0] * context_BOE.shape[1] == 1:
            raise ValueError("batch of 1: the refinement layer's batch norm needs at least 2 clips while training")
        context_BOC = self.refinement.reduce(context_BOE)
        videos, audios = [], []
        for number, unit in enumerate(self.units):
            video_BNC, audio_BMC = unit(video_BNC, audio_BMC)
            context_BOC = self.refinement(context_BOC, video_BNC, audio_BMC, number)
            videos.append(video_BNC)
            audios.append(audio_BMC)
        return self.hafe(videos, audios, context_BOC)
