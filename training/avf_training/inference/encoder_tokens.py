"""Local tokens of an encoder in the order of time and place. B windows, N tokens, C width."""

from collections.abc import Sequence

import torch
from torch import Tensor

from avf_training.models.encoder import Encoder, in_raster_order
from avf_training.models.patch_embed import audio_patches, video_patches


def local_tokens(encoder: Encoder, clips: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Return the local tokens of layers after the encoder's norm, (B, N, C) each, in raster order.

    Raster order is time first: then height and width of video, frequency of audio.

    Args:
        encoder: of either modality.
        clips: its input, (B, 3, T, H, W) or (B, 1, M, F).
        layers: rising, from 0; the encoder computes all layers in any case.
    """
    last = len(encoder.blocks) - 1
    # For the time of this call an LGI encoder returns its local tokens too.
    gives, encoder.output_tokens = encoder.output_tokens, "both" if encoder.regions else encoder.output_tokens
    try:
        tokens = encoder(clips, None, tuple(sorted({*layers, last}))).layers
    finally:
        encoder.output_tokens = gives
    return [in_raster_order(tokens_BNC, encoder.order_N) for tokens_BNC in tokens[: len(layers)]]


def embedded_tokens(encoder: Encoder, clips: Tensor) -> Tensor:
    """Return what the first layer reads, (B, N, C) in raster order: the embedded patches with their positions."""
    index_1N = torch.arange(len(encoder.order_N), device=clips.device)[None]
    patches_BNP = (video_patches if encoder.name == "video" else audio_patches)(clips, encoder.geometry, index_1N)
    embedded_BNC: Tensor = encoder.embed(patches_BNP) + encoder.table_NC
    return embedded_BNC
