"""The SUN team's heads on the last hidden state of a speech encoder (P4 3.2.1): V1 to V3, expressions, and both.

Shapes: B waves of 4 s, H hidden states (199), C width of the encoder, F of the sequence part, 20 steps of 0.2 s,
4 windows of 1 s. V1 reads the states with recurrent units, V2 and V3 with two layers of attention.
"""

from typing import Literal, NamedTuple

from torch import Tensor, nn

from avf_training.framewise.models.layers import SequenceLayer

SpeechTask = Literal["va", "expr", "both"]
SequencePart = Literal["recurrent", "attention"]
STEPS, WINDOWS = 20, 4
"""Predictions in 4 s of sound: 5 a second of valence and arousal, 1 a second of expressions."""


class SpeechOutput(NamedTuple):
    """What a head predicts; None for a task that it does not have."""

    valence_arousal_BS2: Tensor | None  # -1..1, of 20 steps
    expressions_BW8: Tensor | None  # logits, of 4 windows
    features_BSF: Tensor | None  # of 20 steps, before the last map: what the audio-visual models read


class SpeechHead(nn.Module):
    """A sequence part, convolutions over time, and a map of each step."""

    def __init__(
        self,
        task: SpeechTask,
        sequence: SequencePart,
        *,
        width: int = 1024,  # C
        recurrent_width: int = 256,  # F of recurrent units; attention keeps the width
        heads: tuple[int, int] = (32, 16),  # of both layers of attention
    ) -> None:
        super().__init__()
        attention = sequence == "attention"
        self.layers = nn.ModuleList(SequenceLayer(width, each) for each in heads) if attention else None
        self.recurrent = (
            None if attention else nn.GRU(width, recurrent_width, num_layers=2, dropout=0.5, batch_first=True)
        )
        features = width if attention else recurrent_width
        self.to_steps = None if task == "expr" else _to_steps(features)
        self.valence_arousal = None if task == "expr" else nn.Linear(features, 2)
        self.to_windows = None if task == "va" else _to_windows(features, from_steps=task == "both")
        self.expressions = None if task == "va" else nn.Linear(features, 8)

    def forward(self, states_BHC: Tensor) -> SpeechOutput:
        """Return the predictions of 4 s."""
        for layer in self.layers or ():
            states_BHC = layer(states_BHC)
        if self.recurrent is not None:
            states_BHC = self.recurrent(states_BHC)[0]
        x_BFH = states_BHC.transpose(1, 2)
        affect = expressions = features = None
        if self.to_steps is not None and self.valence_arousal is not None:
            x_BFH = self.to_steps(x_BFH)
            features = x_BFH.transpose(1, 2)
            affect = self.valence_arousal(features).tanh()
        if self.to_windows is not None and self.expressions is not None:
            expressions = self.expressions(self.to_windows(x_BFH).transpose(1, 2))
        return SpeechOutput(affect, expressions, features)


class DimensionHead(nn.Module):
    """The published head of PDEM: arousal, dominance and valence of a whole wave, about 0..1. SUN does not use it."""

    def __init__(self, width: int = 1024, dropout: float = 0.5) -> None:
        super().__init__()
        self.dense, self.out_proj = nn.Linear(width, width), nn.Linear(width, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states_BHC: Tensor) -> Tensor:
        """Return (B, 3)."""
        hidden_BC = self.dense(self.dropout(states_BHC.mean(1))).tanh()
        return self.out_proj(self.dropout(hidden_BC))


def _to_steps(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(features, features, 5, stride=3, dilation=2),
        nn.BatchNorm1d(features),
        nn.AdaptiveAvgPool1d(STEPS),
        nn.ReLU(),
    )


def _to_windows(features: int, from_steps: bool) -> nn.Sequential:
    end = (nn.BatchNorm1d(features), nn.AdaptiveAvgPool1d(WINDOWS), nn.ReLU())
    if from_steps:
        return nn.Sequential(nn.Conv1d(features, features, 5, stride=2), *end)
    return nn.Sequential(
        nn.Conv1d(features, features, 5, stride=3, dilation=2),
        nn.BatchNorm1d(features),
        nn.MaxPool1d(5),
        nn.ReLU(),
        nn.Conv1d(features, features, 3),
        *end,
    )
