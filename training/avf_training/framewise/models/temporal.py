"""The SUN team's models over time of one stream of embeddings (P4 3.2.3): v1 to v8 of their code.

The submitted one is v3. Shapes: B windows, T steps (5 each second), S seconds, C width of the embedding, O outputs.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.framewise.models.frame_head import VALENCE_AROUSAL, FrameHead
from avf_training.framewise.models.layers import SequenceLayer, key_mask
from avf_training.framewise.models.valid_frames import apply_to_valid

TemporalVersion = Literal["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8"]
STEPS_PER_SECOND = 5
HEADS = 8
DROPOUT = 0.1
LAYER_HEADS = {"v1": (8, 8, 8, 8, 4, 4), "v3": (8, 8, 8), "v5": (8,)}
"""Attention heads of each layer of the models that are stacks of layers."""
NARROWING_HEADS = (8, 8, 4)
"""Attention heads of v2's layers, of which each is half as wide as the one before."""


class StackedLayers(nn.Module):
    """Transformer layers one after another (v1, v3, v5); v3 normalizes the features first, over batch and time."""

    def __init__(
        self, width: int, outputs: int, heads: Sequence[int], input_norm: bool, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(width) if input_norm else None
        self.layers = nn.ModuleList(SequenceLayer(width, each, dropout) for each in heads)
        self.head = FrameHead(width, outputs)

    def forward(self, x_BTC: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Return (B, T, O). Steps that are not valid change no other step; what stands there means nothing."""
        return self.head(self.features(x_BTC, valid_BT))

    def features(self, x_BTC: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Return the output of the last layer, (B, T, C), which the audio-visual models read."""
        if self.input_norm is not None:
            x_BTC = apply_to_valid(self.input_norm, x_BTC, valid_BT)
        allowed = None if valid_BT is None else key_mask(valid_BT)
        for layer in self.layers:
            x_BTC = layer(x_BTC, allowed_BTT=allowed)
        return x_BTC


class FeatureReduction(nn.Module):
    """Maps each time step to fewer values: linear map, batch norm over batch and time, exact GELU."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(width, narrow, 1), nn.BatchNorm1d(narrow)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x_BTC: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Return (B, T, narrow)."""
        x_BTD = self.conv(x_BTC.transpose(1, 2)).transpose(1, 2)
        return self.dropout(F.gelu(apply_to_valid(self.norm, x_BTD, valid_BT)))


class NarrowingLayers(nn.Module):
    """Three transformer layers, of which each is half as wide as the one before (v2), for expressions alone.

    The authors' head of valence and arousal expects the first width, so that their code fails with it.
    """

    def __init__(self, width: int, outputs: int) -> None:
        """Raises ValueError for valence and arousal."""
        super().__init__()
        if outputs == VALENCE_AROUSAL:
            raise ValueError("temporal model v2 predicts expressions alone; v1, v3 and later ones valence and arousal")
        widths = [width, width // 2, width // 4]
        self.layers = nn.ModuleList(
            SequenceLayer(each, heads, DROPOUT) for each, heads in zip(widths, NARROWING_HEADS, strict=True)
        )
        self.reductions = nn.ModuleList(FeatureReduction(*widths[number : number + 2]) for number in range(2))
        self.head = FrameHead(widths[-1], outputs, bounded=False)

    def forward(self, x_BTC: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Return (B, T, O). Steps that are not valid change no other step; what stands there means nothing."""
        allowed = None if valid_BT is None else key_mask(valid_BT)
        x_BTC = self.layers[0](x_BTC, allowed_BTT=allowed)
        for reduction, layer in zip(self.reductions, self.layers[1:], strict=True):
            x_BTC = layer(reduction(x_BTC, valid_BT), allowed_BTT=allowed)
        return self.head(x_BTC)


class RecurrentLayers(nn.Module):
    """Two layers of gated recurrent units, from the first step to the last (v4)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = _recurrent(width)
        self.head = FrameHead(width, outputs)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T, O). Padding at the end changes no step before it."""
        return self.head(self.recurrent(x_BTC)[0])


class SecondsFromSteps(nn.Module):
    """Predicts once a second: five steps become one by a linear map over time (v6) or a convolution (v7, v8).

    A transformer layer (v6, v7) or recurrent units (v8) come before, an exact GELU after. v6 is made for one window
    length.
    """

    def __init__(self, version: Literal["v6", "v7", "v8"], width: int, outputs: int, steps: int) -> None:
        """Raises ValueError for a window that is not whole seconds."""
        super().__init__()
        if steps % STEPS_PER_SECOND:
            raise ValueError(f"a window of {steps} steps is not whole seconds of {STEPS_PER_SECOND}")
        recurrent = version == "v8"
        self.layer = None if recurrent else SequenceLayer(width, HEADS)
        self.recurrent = _recurrent(width) if recurrent else None
        self.to_seconds: nn.Module = (
            nn.Linear(steps, steps // STEPS_PER_SECOND)
            if version == "v6"
            else nn.Conv1d(width, width, STEPS_PER_SECOND, stride=STEPS_PER_SECOND)
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.head = FrameHead(width, outputs)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, S, O): of each second, whose label is that of its last step."""
        x_BTC = self.layer(x_BTC) if self.layer is not None else x_BTC
        x_BTC = self.recurrent(x_BTC)[0] if self.recurrent is not None else x_BTC
        x_BCS = self.dropout(F.gelu(self.to_seconds(x_BTC.transpose(1, 2))))
        return self.head(x_BCS.transpose(1, 2))


def temporal_model(version: TemporalVersion, width: int = 256, outputs: int = 2, steps: int = 30) -> nn.Module:
    """Return a model of the authors' code by its number.

    `width`: of the embeddings, C. `outputs`: 2 (valence, arousal) or 8 expressions. `steps`: of a window, for v6.
    Raises ValueError for another version, and for v2 of valence and arousal, which fails in the authors' code.
    """
    if version in LAYER_HEADS:
        return StackedLayers(width, outputs, LAYER_HEADS[version], input_norm=version == "v3")
    if version == "v2":
        return NarrowingLayers(width, outputs)
    if version == "v4":
        return RecurrentLayers(width, outputs)
    if version in ("v6", "v7", "v8"):
        return SecondsFromSteps(version, width, outputs, steps)
    raise ValueError(f"no temporal model {version!r}: {', '.join(get_args(TemporalVersion))}")


def _recurrent(width: int) -> nn.GRU:
    return nn.GRU(width, width, num_layers=2, batch_first=True, dropout=DROPOUT)
