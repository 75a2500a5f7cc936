"""Vision Transformers of single pictures, and the feature that NetEase's extractors give (P2 3.1, MAE's fine-tuning).

Shapes: B pictures, L patches, N tokens (CLS first), C width, O outputs. Names of tensors are those of MAE's
checkpoints.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.models.attention import attend
from avf_training.models.drop_path import DropPath, number_drop_paths

NORM_EPS = 1e-6
LONGEST_WAVE = 10_000.0


def grid_positions(width: int, grid: int) -> Tensor:
    """Return sines and cosines of columns in the first half of the width, of rows in the second, (1, 1 + L, C).

    The row of CLS is zeros.
    """
    quarter = width // 4
    rate_K = LONGEST_WAVE ** -(np.arange(quarter) / quarter)
    row_L, column_L = (axis.ravel() for axis in np.mgrid[:grid, :grid])
    halves = []
    for position_L in (column_L, row_L):
        angle_LK = position_L[:, None] * rate_K
        halves += [np.sin(angle_LK), np.cos(angle_LK)]
    table_LC = np.concatenate(halves, 1)
    table_NC = np.concatenate((np.zeros((1, width)), table_LC))
    return torch.from_numpy(table_NC).float()[None]


class ImageAttention(nn.Module):
    """Multi-head self-attention with biases of queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return (B, N, C)."""
        q, k, v = self.qkv(x_BNC).chunk(3, -1)
        return self.proj(attend(q, k, v, self.heads))


class ImageMLP(nn.Module):
    """Two linear maps with an exact GELU between them, four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return (B, N, C)."""
        return self.fc2(nn.functional.gelu(self.fc1(x_BNC)))


class ImageBlock(nn.Module):
    """A Transformer block with norms before both parts."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, NORM_EPS), nn.LayerNorm(width, NORM_EPS)
        self.attn, self.mlp = ImageAttention(width, heads), ImageMLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return (B, N, C)."""
        x_BNC = x_BNC + self.drop_path(self.attn(self.norm1(x_BNC)), 0)
        return x_BNC + self.drop_path(self.mlp(self.norm2(x_BNC)), 1)


class PatchProjection(nn.Module):
    """Maps each patch of a picture to a token."""

    def __init__(self, config: ImageViTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch_px, stride=config.patch_px)

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """Return (B, L, C), row by row."""
        return self.proj(pictures_B3HW).flatten(2).transpose(1, 2)


class ImageFeatureModel(nn.Module):
    """An encoder of face pictures, fine-tuned: the feature that tracks hold, and a head.

    The feature is the norm of the mean of patch tokens ("mean") or the norm of CLS ("cls").
    """

    def __init__(
        self,
        config: ImageViTConfig,
        outputs: int,
        pooling: Literal["mean", "cls"] = "mean",
        drop_path: float = 0.1,  # share of the last block that is left out in training; less for earlier ones
    ) -> None:
        super().__init__()
        self.config, self.pooling = config, pooling
        width = config.width
        self.patch_embed = PatchProjection(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(grid_positions(width, config.grid))
        shares = torch.linspace(0, drop_path, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(ImageBlock(width, config.heads, share) for share in shares)
        if pooling == "mean":
            self.fc_norm = nn.LayerNorm(width, NORM_EPS)
        else:
            self.norm = nn.LayerNorm(width, NORM_EPS)
        self.head = nn.Linear(width, outputs)
        number_drop_paths(self)

    def features(self, pictures_B3HW: Tensor) -> Tensor:
        """Return (B, C)."""
        x_BLC = self.patch_embed(pictures_B3HW)
        x_BNC = torch.cat((self.cls_token.expand(len(x_BLC), -1, -1), x_BLC), 1) + self.pos_embed
        for block in self.blocks:
            x_BNC = block(x_BNC)
        return self.fc_norm(x_BNC[:, 1:].mean(1)) if self.pooling == "mean" else self.norm(x_BNC)[:, 0]

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """Return (B, O): valence and arousal, or logits."""
        return self.head(self.features(pictures_B3HW))


def decay_layer(name: str, depth: int) -> int:
    """Return the layer of a tensor for layer decay: 0 what comes before the blocks, then each block, then the head."""
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return 0 if name.startswith(("cls_token", "pos_embed", "patch_embed.")) else depth + 1


def layer_scales(model: ImageFeatureModel, decay: float = 0.65) -> dict[str, float]:
    """Return the factor of each tensor's learning rate: 1 for the head, `decay` times less for each layer before."""
    depth = len(model.blocks)
    return {name: decay ** (depth + 1 - decay_layer(name, depth)) for name, _ in model.named_parameters()}
