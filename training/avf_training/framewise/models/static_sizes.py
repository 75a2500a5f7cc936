"""What one of SUN's networks of single pictures is made of. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass
from typing import Literal

Backbone = Literal["efficientnet_b1", "efficientnet_b4", "vit_b_16", "hrnet_w32"]
PoseMaps = Literal["heatmaps13", "features13"]
ViTOutput = Literal["cls", "imagenet_logits"]
INPUT_PX: dict[Backbone, int] = {"efficientnet_b1": 240, "efficientnet_b4": 380, "vit_b_16": 224, "hrnet_w32": 256}
"""Side of the pictures that a backbone gets."""
_STRIDE_PX = 32  # of HRNet-W32, and the least side of EfficientNet


def side_fault(backbone: Backbone, size_px: int) -> str | None:
    """Return what is wrong with a side of pictures for a backbone; None where nothing is."""
    if backbone == "vit_b_16" and size_px != INPUT_PX[backbone]:
        return f"size_px {size_px}: the positions of vit_b_16 are those of {INPUT_PX[backbone]} px"
    if size_px < _STRIDE_PX or (backbone == "hrnet_w32" and size_px % _STRIDE_PX):
        least = f"a multiple of {_STRIDE_PX}" if backbone == "hrnet_w32" else f"at least {_STRIDE_PX}"
        return f"size_px {size_px} must be {least} for {backbone}"
    return None


@dataclass(frozen=True, kw_only=True)
class StaticNetConfig:
    """The parts of a network, as config.json of a saved one has them."""

    backbone: Backbone
    size_px: int  # side of the pictures that it gets
    classes: int  # outputs of the classifier; 0: valence and arousal alone
    vit_output: ViTOutput = "cls"  # what of a ViT is embedded
    hrnet_maps: PoseMaps = "heatmaps13"  # what is read behind HRNet-W32
    bounded: bool = True  # valence and arousal end in a tanh
