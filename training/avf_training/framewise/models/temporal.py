"""The SUN team's models over time of one stream of embeddings (P4 3.2.3): v1, v3 to v8 of their code.

The submitted one is v3. Shapes: B windows, T steps (5 each second), S seconds, C width of the embedding, O outputs.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from avf_training.framewise.models.frame_head import FrameHead
from avf_training.framewise.models.layers import SequenceLayer, key_mask
from avf_training.framewise.models.valid_frames import apply_to_valid

TemporalVersion = Literal["v1", "v3", "v4", "v5", "v6", "v7", "v8"]
STEPS_PER_SECOND = 5
HEADS = 8
LAYER_HEADS = {"v1": (8, 8, 8, 8, 4, 4), "v3": (8, 8, 8), "v5": (8,)}
"""Attention heads of each layer of the models that are stacks of layers."""


class StackedLayers(nn.Module):
    """Transformer layers one after another (v1, v3, v5); v3 normalizes the features first, over batch and time."""

    def __init__(self, width: int, outputs: int, heads: Sequence[int], input_norm: bool, dropout: float = 0.1) -> None:
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


class RecurrentLayers(nn.Module):
    """Two layers of gated recurrent units, from the first step to the last (v4)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(width, width, num_layers=2, batch_first=True)
        self.head = FrameHead(width, outputs)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T, O). Padding at the end changes no step before it."""
        return self.head(self.recurrent(x_BTC)[0])


class SecondsFromSteps(nn.Module):
    """Predicts once a second: five steps become one by a linear map over time (v6) or a convolution (v7, v8).

    A transformer layer (v6, v7) or recurrent units (v8) come before. v6 is made for one window length.
    """

    def __init__(self, version: Literal["v6", "v7", "v8"], width: int, outputs: int, steps: int) -> None:
        """Raises ValueError for a window that is not whole seconds."""
        super().__init__()
        if steps % STEPS_PER_SECOND:
            raise ValueError(f"a window of {steps} steps is not whole seconds of {STEPS_PER_SECOND}")
        recurrent = version == "v8"
        self.layer = None if recurrent else SequenceLayer(width, HEADS)
        self.recurrent = nn.GRU(width, width, num_layers=2, batch_first=True) if recurrent else None
        self.to_seconds: nn.Module = (
            nn.Linear(steps, steps // STEPS_PER_SECOND)
            if version == "v6"
            else nn.Conv1d(width, width, STEPS_PER_SECOND, stride=STEPS_PER_SECOND)
        )
        self.head = FrameHead(width, outputs)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, S, O): of each second, whose label is that of its last step."""
        x_BTC = self.layer(x_BTC) if self.layer is not None else x_BTC
        x_BTC = self.recurrent(x_BTC)[0] if self.recurrent is not None else x_BTC
        return self.head(self.to_seconds(x_BTC.transpose(1, 2)).transpose(1, 2))


def temporal_model(version: TemporalVersion, width: int = 256, outputs: int = 2, steps: int = 30) -> nn.Module:
    """Return a model of the authors' code by its number.

    `width`: of the embeddings, C. `outputs`: 2 (valence, arousal) or 8 expressions. `steps`: of a window, for v6.
    Raises ValueError for another version; the authors' v2 fails in their code.
    """
    if version in LAYER_HEADS:
        return StackedLayers(width, outputs, LAYER_HEADS[version], input_norm=version == "v3")
    if version == "v4":
        return RecurrentLayers(width, outputs)
    if version in ("v6", "v7", "v8"):
        return SecondsFromSteps(version, width, outputs, steps)
    raise ValueError(f"no temporal model {version!r}: {', '.join(get_args(TemporalVersion))}")
