"""Layers and neighbours of each frame as talking heads read them. T frames, K frames of a neighbourhood, L layers."""

import torch
from avf_shards.errors import UserError
from torch import Tensor


def stack_layers(hidden_states: tuple[Tensor, ...] | None) -> Tensor:
    """Return the layers of one sound behind what the first layer reads, (T, L, C). Raises UserError for none.

    hidden_states: L + 1 times (1, T, C), as `SpeechEncoder` returns them.
    """
    if hidden_states is None:
        raise UserError("there are no hidden states; call the encoder with output_hidden_states=True")
    return torch.stack(hidden_states[1:], 2)[0]


def with_neighbours(frames_TLC: Tensor, each_side: int = 2) -> Tensor:
    """Return each frame between its neighbours, (T, K, L, C); at the ends the first and the last frame are repeated.

    Raises UserError for less than none.
    """
    if each_side < 0:
        raise UserError(f"each_side {each_side}: must be 0 or more")
    frames = len(frames_TLC)
    offsets_K = torch.arange(-each_side, each_side + 1)
    return frames_TLC[(torch.arange(frames)[:, None] + offsets_K).clamp(0, frames - 1).to(frames_TLC.device)]
