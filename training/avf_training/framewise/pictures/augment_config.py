"""Random changes of a picture in training. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass
from typing import Literal

from avf_shards.settings.config import refuse


@dataclass(frozen=True, kw_only=True)
class PictureAugment:
    """How a picture is cropped, mirrored and erased."""

    crop_low: float = 0.2  # smallest share of the picture's area that a crop takes (MAE's pre-training)
    crop_high: float = 1.0  # largest share
    flip: float = 0.5  # probability to be mirrored
    erase: float = 0.0  # probability that a rectangle becomes noise (random erasing)

    def __post_init__(self) -> None:
        refuse(
            (
                not 0 < self.crop_low <= self.crop_high <= 1,
                f"crop_low {self.crop_low} and crop_high {self.crop_high} must rise, above 0 and up to 1",
            ),
            (not 0 <= self.flip <= 1, f"flip {self.flip} must lie between 0 and 1"),
            (not 0 <= self.erase <= 1, f"erase {self.erase} must lie between 0 and 1"),
        )


@dataclass(frozen=True, kw_only=True)
class PictureChanges:
    """The twelve changes of a picture that SUN's networks are trained with, each drawn for itself."""

    probability: float  # of each change
    noise: Literal["noise", "blur"]  # what the fourth is: of the paper, or of the authors' code
