"""Settings of low-rank adapters (LoRA). Without torch, so that a wrong recipe is refused quickly."""

from dataclasses import dataclass
from typing import Literal

from avf_shards.settings.config import refuse


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (Hu et al. 2022): encoders and fusion keep their weights W and learn W + alpha / rank * B A."""

    # Rows of A and columns of B, for each linear layer of attention and feed-forward networks. 0 is off: all weights
    # learn, as in the papers. 4 to 16 are usual; a change of one task seldom needs more.
    rank: int = 0
    # Strength of the adapters: their product counts alpha / rank times, so that the learning rate keeps its meaning
    # under another rank. 16 is the usual value.
    alpha: float = 16.0
    # What a saved model holds. `merged`: all weights with the adapters added, which needs nothing else. `adapters`: the
    # adapters and what learned whole, a few percent of it; it is read together with the start, which must stay.
    save: Literal["merged", "adapters"] = "merged"

    def __post_init__(self) -> None:
        refuse(
            (self.rank < 0, f"rank {self.rank} must be at least 0; 0 is off"),
            (self.alpha <= 0, f"alpha {self.alpha:g} must be above 0"),
        )

    @property
    def scale(self) -> float:
        """Return the factor on the product of the two matrices."""
        return self.alpha / self.rank
