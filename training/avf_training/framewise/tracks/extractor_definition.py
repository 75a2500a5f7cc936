"""What an extractor is by name: what it reads, whether it has weights, and where its code is. Without torch."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

Reads = Literal["pictures", "sound", "clips"]


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """An extractor of feature tracks: ours, or one that an installed package adds."""

    name: str  # as --extractor takes it
    about: str  # what it reads and gives, as "sound: last layer of HuBERT"
    reads: Reads  # pictures: single ones; sound: it does not look; clips: videos with their sound
    #: MODULE:FUNCTION of (name, weights, device) that returns a TrackExtractor; imported only when it is used.
    load: str
    has_weights: bool = True  # False: it is loaded without a file, and weights is None

    def load_function(self) -> Any:
        """Import the function that loads it. Raises what the import raises."""
        return EntryPoint(name=self.name, value=self.load, group="").load()
