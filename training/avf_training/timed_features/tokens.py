"""Tokens of windows, picked by a plan. W windows, B of a batch, N moments, U tokens in time, G at one time, L layers.

D is the width of what is picked: C of the encoder, or G times as much.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from avf_shards.errors import UserError
from torch import Tensor

from avf_training.inference.encoder_tokens import embedded_tokens, local_tokens
from avf_training.models.encoder import Encoder
from avf_training.timed_features.windows import Ints, WindowPlan

Bands = Literal["mean", "keep"]
"""What becomes of the tokens of one time, the mel bands of sound: their mean, or one behind the other."""
WindowInput = Callable[[Ints], Tensor]
"""Function that returns the encoder's input for windows with these starts, (B, ...)."""
_BATCH_WINDOWS = 8  # of one forward pass; keeps the memory of long inputs small


def check_bands(bands: str) -> None:
    """Raise UserError for a way that does not exist."""
    if bands not in get_args(Bands):
        raise UserError(f"bands {bands!r}: there are {' and '.join(get_args(Bands))}")


def pick_tokens(
    encoder: Encoder, plan: WindowPlan, window_input: WindowInput, layers: Sequence[int], bands: Bands = "mean"
) -> Tensor:
    """Return the token of each moment of a plan in each layer, (N, L, D), on the encoder's device, with gradients.

    Args:
        encoder: of either modality.
        plan: windows and the tokens to take from them.
        window_input: gives the encoder's input.
        layers: rising; 0 is what the first layer reads.
        bands: what becomes of the tokens of one time.
    """
    window_N, token_N = torch.from_numpy(plan.window_N), torch.from_numpy(plan.token_N)
    picked, moments = [], []
    for first in range(0, len(plan.starts_W), _BATCH_WINDOWS):
        starts_B = plan.starts_W[first : first + _BATCH_WINDOWS]
        here_N = torch.nonzero((window_N >= first) & (window_N < first + len(starts_B)))[:, 0]
        tokens_BULD = _tokens_in_time(encoder, window_input(starts_B), layers, bands)
        picked.append(tokens_BULD[window_N[here_N] - first, token_N[here_N]])
        moments.append(here_N)
    order_N = torch.argsort(torch.cat(moments))
    return torch.cat(picked)[order_N.to(picked[0].device)]


def _tokens_in_time(encoder: Encoder, clips: Tensor, layers: Sequence[int], bands: Bands) -> Tensor:
    """Return the tokens of windows by time and layer, (B, U, L, D)."""
    geometry = encoder.geometry
    times = geometry.video_grid[0] if encoder.name == "video" else geometry.audio_grid[0]
    tokens = [embedded_tokens(encoder, clips)] if layers[0] == 0 else []
    if layers[-1] > 0:
        tokens += local_tokens(encoder, clips, [layer - 1 for layer in layers if layer > 0])
    in_time = [each_BNC.unflatten(1, (times, -1)) for each_BNC in tokens]
    return torch.stack([each.mean(2) if bands == "mean" else each.flatten(2) for each in in_time], 2)
