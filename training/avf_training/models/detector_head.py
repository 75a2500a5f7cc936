"""A head for deepfake detection in the shape of HOLA's (arXiv 2507.22781), over the tokens of both encoders.

HOLA's code is not published. What is known is its figure: iterative cross-modal interaction with a gated fusion,
concatenation, a local-global fusion and a pyramid of convolutions. Every number, width and order of layers here is a
choice of this project, and so no result of this head is a result of HOLA's.

Shapes: B batch, T times, C width, N tokens of an encoder, U tubes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.models.attention import BlockConfig, CrossAttention, ViTBlock
from avf_training.models.batch_norm import UnitBatchNorm
from avf_training.models.config import ModelConfig
from avf_training.models.encoder import in_raster_order

_INTERACTIONS = 2
_BLOCKS = 2
_STAGES = 3  # of the pyramid, each half as long as the one before


class GatedInteraction(nn.Module):
    """One stream attends to the other, and a gate says how much of that it takes: 6C^2 + 10C parameters."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        width, eps = config.width, config.norm_eps
        self.norm, self.context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn = CrossAttention(width, config.heads)
        self.gate, self.out_norm = nn.Linear(2 * width, width), nn.LayerNorm(width, eps)

    def forward(self, x_BTC: Tensor, other_BTC: Tensor) -> Tensor:
        """Return LN(x + sigmoid(W [x; c]) c), (B, T, C), where c is what x finds in the other stream."""
        c_BTC = self.attn(self.norm(x_BTC), self.context_norm(other_BTC))
        gate_BTC = self.gate(torch.cat((x_BTC, c_BTC), -1)).sigmoid()
        return self.out_norm(x_BTC + gate_BTC * c_BTC)


class PyramidStage(nn.Module):
    """Conv1d over three times, batch norm, ReLU and the mean of each two times: 3C^2 + 3C parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1)
        # Of groups of clips, as in IAV-CL: then it is the same for every number of ranks and every micro-batch.
        self.norm = UnitBatchNorm(width, 1, per_unit=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return (B, C, T / 2)."""
        return F.avg_pool1d(self.norm(self.conv(x_BCT)).relu(), 2)


class DetectorHead(nn.Module):
    """From tokens in time of both encoders to one feature: the means of three scales, (B, 3C).

    With the layer norm and the linear map to two classes behind it, it has 60C^2 + 87C + 2 parameters.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tubes, self.times = config.geometry.video_grid[0], config.geometry.audio_grid[0]
        if config.modalities != "av" or config.video.width != config.audio.width:
            raise ValueError("head 'detector' joins video and audio of one width; set modalities=av, or head=linear")
        if self.times % self.tubes or self.times < 2**_STAGES:
            raise ValueError(
                f"head 'detector' needs a multiple of the {self.tubes} tubes and at least {2**_STAGES} patches of "
                f"sound in time, not {self.times}"
            )
        width = config.video.width
        block = BlockConfig(width=width, heads=config.video.heads, mlp_ratio=config.mlp_ratio, norm_eps=config.norm_eps)
        self.video_layers = nn.ModuleList(GatedInteraction(block) for _ in range(_INTERACTIONS))
        self.audio_layers = nn.ModuleList(GatedInteraction(block) for _ in range(_INTERACTIONS))
        self.join = nn.Linear(2 * width, width)
        self.blocks = nn.ModuleList(ViTBlock(block) for _ in range(_BLOCKS))
        self.context_gate = nn.Linear(width, width)
        self.stages = nn.ModuleList(PyramidStage(width) for _ in range(_STAGES))

    def forward(self, video_BUC: Tensor, audio_BTC: Tensor) -> Tensor:
        """Return the feature, (B, 3C), from the tokens of each tube and of each patch of sound in time."""
        v_BTC = video_BUC.repeat_interleave(self.times // self.tubes, 1)  # both on one clock
        a_BTC = audio_BTC
        for of_video, of_audio in zip(self.video_layers, self.audio_layers, strict=True):
            v_BTC, a_BTC = of_video(v_BTC, a_BTC), of_audio(a_BTC, v_BTC)
        x_BTC = self.join(torch.cat((v_BTC, a_BTC), -1))
        for block in self.blocks:
            x_BTC = block(x_BTC)
        # Each time is weighed by itself and by the mean of all times.
        x_BTC = x_BTC * self.context_gate(x_BTC + x_BTC.mean(1, keepdim=True)).sigmoid()
        x_BCT, scales = x_BTC.transpose(1, 2), []
        for stage in self.stages:
            x_BCT = stage(x_BCT)
            scales.append(x_BCT.mean(-1))
        return torch.cat(scales, -1)


def time_tokens(local_BNC: Tensor, order_N: Tensor, times: int) -> Tensor:
    """Return the mean local token of each time, (B, T, C): of a tube of frames, or of a step of the spectrogram.

    Args:
        local_BNC: local tokens of an encoder, in its own order.
        order_N: the encoder's order, as raster indices with the time first.
        times: T.
    """
    return in_raster_order(local_BNC, order_N).unflatten(1, (times, -1)).mean(2)
