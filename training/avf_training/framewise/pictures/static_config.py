"""Settings of the training of SUN's networks of single pictures. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass

from avf_shards.settings.config import refuse

from avf_training.framewise.models.static_sizes import INPUT_PX, Backbone, side_fault


@dataclass(frozen=True, kw_only=True)
class StaticTraining:
    """One of SUN's networks of single pictures, and how its layers learn."""

    backbone: Backbone  # below the embedding of 256 values
    size_px: int | None = None  # side of the pictures that it gets; None: the backbone's own
    layer_rates: bool = True  # the head has the full rate, each layer below less, all constant; False: one rate for all
    gradual_unfreezing: bool = True  # the last seven layers learn at first, and one more each epoch
    change_probability: float = 0.05  # of each of twelve random changes of a picture; 0: pictures as they are

    def __post_init__(self) -> None:
        fault = side_fault(self.backbone, self.side_px)
        share = self.change_probability
        refuse(
            (fault is not None, fault or ""),
            (not 0 <= share <= 1, f"change_probability {share} must lie between 0 and 1"),
        )

    @property
    def side_px(self) -> int:
        """Return the side of the pictures."""
        return INPUT_PX[self.backbone] if self.size_px is None else self.size_px
