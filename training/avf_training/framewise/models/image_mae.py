"""The masked autoencoder of face pictures (P2 3.1; MAE): a quarter of the patches is seen, the others are predicted.

Shapes: B pictures, L patches, V visible ones, P values of a patch, C width, D width of the decoder. Names of
tensors are those of MAE's checkpoints; both tables of positions are parameters that are not trained.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.models.image_vit import NORM_EPS, ImageBlock, PatchProjection, grid_positions

MASK_RATIO = 0.75
VARIANCE_EPS = 1e-6
TOKEN_STD = 0.02


class MaskedPictures(NamedTuple):
    """What a picture's masked pass gives."""

    prediction_BLP: Tensor  # of every patch
    mask_BL: Tensor  # 1 where a patch was hidden
    latent_BNC: Tensor  # CLS and visible patches
    restore_BL: Tensor  # at each patch of the picture, its index in the order that has the visible ones first


def to_patches(pictures_B3HW: Tensor, patch_px: int) -> Tensor:
    """Return (B, L, P): patches row by row, each row, column, channel."""
    x = pictures_B3HW.unflatten(2, (-1, patch_px)).unflatten(4, (-1, patch_px))
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def from_patches(patches_BLP: Tensor, patch_px: int) -> Tensor:
    """Return the square pictures of so many patches, (B, 3, H, W)."""
    side = round(patches_BLP.shape[1] ** 0.5)
    x = patches_BLP.unflatten(1, (side, side)).unflatten(3, (patch_px, patch_px, 3))
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def normalize_patches(patches_BLP: Tensor) -> Tensor:
    """Return patches of mean 0 and unbiased variance 1 over all their values, channels together."""
    variance = patches_BLP.var(-1, keepdim=True)
    return (patches_BLP - patches_BLP.mean(-1, keepdim=True)) / (variance + VARIANCE_EPS).sqrt()


def hidden_patches_loss(masked: MaskedPictures, pictures_B3HW: Tensor, patch_px: int, *, norm_pix: bool) -> Tensor:
    """Return the mean square error over the hidden patches.

    `norm_pix`: against normalized patches, as MAE recommends; the paper says pixels.
    """
    target_BLP = to_patches(pictures_B3HW, patch_px)
    if norm_pix:
        target_BLP = normalize_patches(target_BLP)
    loss_BL = (masked.prediction_BLP - target_BLP).square().mean(-1)
    return (loss_BL * masked.mask_BL).sum() / masked.mask_BL.sum()


class ImageMAE(nn.Module):
    """Encoder of the visible patches and a narrow decoder of all."""

    def __init__(self, config: ImageViTConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False  # recompute the activations of each block in the backward pass
        width, narrow = config.width, config.decoder_width
        self.patch_embed = PatchProjection(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(grid_positions(width, config.grid), requires_grad=False)
        self.blocks = nn.ModuleList(ImageBlock(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.decoder_embed = nn.Linear(width, narrow)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
        self.decoder_pos_embed = nn.Parameter(grid_positions(narrow, config.grid), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            ImageBlock(narrow, config.decoder_heads) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(narrow, NORM_EPS)
        self.decoder_pred = nn.Linear(narrow, config.patch_values)
        self._initialize()

    def _initialize(self) -> None:
        nn.init.normal_(self.cls_token, std=TOKEN_STD)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        projection = self.patch_embed.proj.weight
        nn.init.xavier_uniform_(projection.view(len(projection), -1))

    def encode(self, pictures_B3HW: Tensor, order_BL: Tensor, visible: int) -> Tensor:
        """Return CLS and the first `visible` patches of each picture's order, (B, 1 + V, C)."""
        x_BLC = self.patch_embed(pictures_B3HW) + self.pos_embed[:, 1:]
        x_BVC = x_BLC.gather(1, order_BL[:, :visible, None].expand(-1, -1, x_BLC.shape[2]))
        cls_B1C = (self.cls_token + self.pos_embed[:, :1]).expand(len(x_BVC), -1, -1)
        x_BNC = torch.cat((cls_B1C, x_BVC), 1)
        for block in self.blocks:
            x_BNC = self._run(block, x_BNC)
        return self.norm(x_BNC)

    def _run(self, block: nn.Module, x_BNC: Tensor) -> Tensor:
        if not self.checkpointing:
            return cast(Tensor, block(x_BNC))
        return cast(Tensor, checkpoint(block, x_BNC, use_reentrant=False))

    def decode(self, latent_BNC: Tensor, restore_BL: Tensor) -> Tensor:
        """Return the prediction of every patch, (B, L, P)."""
        x_BND = self.decoder_embed(latent_BNC)
        hidden = restore_BL.shape[1] + 1 - x_BND.shape[1]
        x_BLD = torch.cat((x_BND[:, 1:], self.mask_token.expand(len(x_BND), hidden, -1)), 1)
        x_BLD = x_BLD.gather(1, restore_BL[..., None].expand(-1, -1, x_BLD.shape[2]))
        x_BND = torch.cat((x_BND[:, :1], x_BLD), 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x_BND = self._run(block, x_BND)
        return self.decoder_pred(self.decoder_norm(x_BND))[:, 1:]

    def forward(
        self, pictures_B3HW: Tensor, noise_BL: Tensor | None = None, mask_ratio: float = MASK_RATIO
    ) -> MaskedPictures:
        """Hide the patches with the largest noise, drawn uniformly where none is given."""
        patches = self.config.grid**2
        if noise_BL is None:
            noise_BL = torch.rand(len(pictures_B3HW), patches, device=pictures_B3HW.device)
        visible = int(patches * (1 - mask_ratio))
        order_BL = noise_BL.argsort(1)
        restore_BL = order_BL.argsort(1)
        latent_BNC = self.encode(pictures_B3HW, order_BL, visible)
        mask_BL = (restore_BL >= visible).to(latent_BNC.dtype)
        return MaskedPictures(self.decode(latent_BNC, restore_BL), mask_BL, latent_BNC, restore_BL)
