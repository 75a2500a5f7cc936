"""Settings of augmentation and of mixing clips. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass

from avf_shards.settings.config import refuse


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Settings of RandAugment (rand-m7-n4-mstd0.5-inc1), colour jitter, random resized crop, flip and erasing."""

    layers: int = 4  # operations sampled per clip; 0 turns RandAugment off
    magnitude: float = 7.0  # mean strength of an operation, out of 10
    magnitude_std: float = 0.5  # standard deviation of the strength
    # Brightness, contrast and saturation are multiplied by 1 - colour_jitter to 1 + colour_jitter; 0 turns it off.
    colour_jitter: float = 0.0
    crop_area: tuple[float, float] = (0.08, 1.0)  # range of the crop's area, as a share of the frame
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # range of the crop's width divided by its height
    flip_probability: float = 0.5  # of a horizontal flip
    erase_probability: float = 0.25  # of erasing one rectangle
    erase_area: tuple[float, float] = (0.02, 1 / 3)  # range of the erased area, as a share of the frame
    erase_ratio: tuple[float, float] = (0.3, 1 / 0.3)  # range of the erased width divided by its height

    def __post_init__(self) -> None:
        refuse((self.colour_jitter < 0, f"colour_jitter {self.colour_jitter} must be at least 0"))


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Settings of mixup and CutMix."""

    mixup: float = 0.8  # alpha of mixup's beta distribution; 0 turns mixup off
    cutmix: float = 1.0  # alpha of CutMix's beta distribution; 0 turns CutMix off
    probability: float = 1.0  # of mixing a clip at all
    cutmix_share: float = 0.5  # share of mixed clips that take CutMix where both are on
    # Mix the audio as well. The authors' code leaves it, so that the audio belongs to one of the two mixed labels only.
    mix_sound: bool = True

    @property
    def any(self) -> bool:
        """Return whether clips may be mixed at all."""
        return self.probability > 0 and (self.mixup > 0 or self.cutmix > 0)
