"""Where talking-head models take in speech, written for tests: StableAvatar's audio adapter and Hallo's projection.

B rows, T tokens, F latent frames, K tokens of a latent frame, M latents of a picture, C width, H heads.
"""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def latent_ranges(tokens: int, frames: int) -> list[tuple[int, int]]:
    """Return the first and last token of each latent frame, four frames each but the first."""
    per_frame = tokens / frames
    half = int(2 * per_frame)
    centres = [int(per_frame * (4 * latent - 1)) - 1 for latent in range(1, (frames - 1) // 4 + 1)]
    first = centres[0] - half
    return [(first - 2 * half, first), *((centre - half, centre + half) for centre in centres)]


def split_tokens(tokens_BTC: Tensor, frames: int, margin: int = 4) -> tuple[Tensor, list[int]]:
    """Return the tokens of each latent frame, (B, F, K, C), filled up with zeros behind, and how many are there."""
    parts, lengths = [], []
    for first, last in latent_ranges(tokens_BTC.shape[1], frames):
        part_BKC = tokens_BTC[:, max(0, first - margin) : last + margin + 1]
        missing = last - first + 2 * margin + 1 - part_BKC.shape[1]
        parts.append(F.pad(part_BKC, (0, 0, 0, missing)))
        lengths.append(part_BKC.shape[1])
    return torch.stack(parts, 1), lengths


def stable_avatar_adapter(
    weights: Weights, tokens_BTC: Tensor, inputs: tuple[Tensor, Tensor, Tensor], frames: int, heads: int = 8
) -> tuple[Tensor, list[int]]:
    """Return what the blocks of StableAvatar attend to, (B, F, K, C), and how many tokens each latent frame has.

    inputs: latents (B, F M, C), the modulation of the blocks (B, 6, C), and that of the head (B, C).
    """
    latents, block_modulation, head_modulation = inputs
    projected = _linear(weights, "proj_model.proj", tokens_BTC)
    x_BFKC, lengths = split_tokens(_norm(projected, 1e-5, weights, "proj_model.norm"), frames)
    latents_BFMC = latents.unflatten(1, (x_BFKC.shape[1], -1))
    for block in ("blocks.0", "blocks.1"):
        shift, scale, gate, shift2, scale2, gate2 = (
            part[:, :, None] for part in (weights[f"{block}.modulation"] + block_modulation).split(1, 1)
        )
        x_BFKC = x_BFKC + (_norm(x_BFKC, 1e-6) * (1 + scale) + shift) * gate
        asked = _norm(x_BFKC, 1e-6, weights, f"{block}.norm3")
        x_BFKC = x_BFKC + _attend(weights, f"{block}.cross_attn", asked, latents_BFMC, heads)
        hidden = _linear(weights, f"{block}.ffn.0", _norm(x_BFKC, 1e-6) * (1 + scale2) + shift2)
        x_BFKC = x_BFKC + _linear(weights, f"{block}.ffn.2", F.gelu(hidden, approximate="tanh")) * gate2
    head = weights["final_head.modulation"] + head_modulation[:, None]
    shift, scale = (part[:, :, None] for part in head.split(1, 1))
    return _linear(weights, "final_head.final_proj", _norm(x_BFKC, 1e-6) * (1 + scale) + shift), lengths


def hallo_projection(weights: Weights, windows_TKLC: Tensor) -> Tensor:
    """Return the tokens of Hallo's audio projection, (1, T, tokens, width)."""
    hidden = F.relu(_linear(weights, "proj1", windows_TKLC.flatten(1)))
    hidden = F.relu(_linear(weights, "proj2", hidden))
    width = len(weights["norm.weight"])
    return _norm(_linear(weights, "proj3", hidden).unflatten(1, (-1, width)), 1e-5, weights, "norm")[None]


def _attend(weights: Weights, name: str, asked_BFKC: Tensor, latents_BFMC: Tensor, heads: int) -> Tensor:
    query, key = (
        _root_mean_square(_linear(weights, f"{name}.{part}", x), weights[f"{name}.norm_{part}.weight"])
        for part, x in (("q", asked_BFKC), ("k", latents_BFMC))
    )
    value = _linear(weights, f"{name}.v", latents_BFMC)
    split = (x.unflatten(-1, (heads, -1)).transpose(2, 3) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(*split).transpose(2, 3).flatten(3)
    return _linear(weights, f"{name}.o", attended)


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def _norm(x: Tensor, eps: float, weights: Weights | None = None, name: str = "") -> Tensor:
    scale, shift = (None, None) if weights is None else (weights[f"{name}.weight"], weights[f"{name}.bias"])
    return F.layer_norm(x, x.shape[-1:], scale, shift, eps)


def _root_mean_square(x: Tensor, weight: Tensor) -> Tensor:
    return cast(Tensor, x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight)
