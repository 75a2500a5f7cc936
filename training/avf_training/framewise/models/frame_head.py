"""The last layer of SUN's sequence models: a linear map of each time step, with tanh for valence and arousal."""

from torch import Tensor, nn

VALENCE_AROUSAL, EXPRESSIONS = 2, 8


class FrameHead(nn.Module):
    """Maps each time step to valence and arousal in -1..1, or to logits of expressions."""

    def __init__(self, width: int, outputs: int, bounded: bool | None = None) -> None:
        """`bounded`: end in a tanh; None: for two outputs, which are valence and arousal."""
        super().__init__()
        self.bounded = outputs == VALENCE_AROUSAL if bounded is None else bounded
        self.linear = nn.Linear(width, outputs)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T, outputs)."""
        out_BTO: Tensor = self.linear(x_BTC)
        return out_BTO.tanh() if self.bounded else out_BTO
