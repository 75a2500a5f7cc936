"""SUN's body network (P4 3.2.1): HRNet-W32 that finds joints, frozen, and three residual blocks on its maps.

Shapes: B pictures, C channels of a map, H W its height and width. The pose net is timm's, the optional extra `hrnet`,
whose names and shapes are those of the published weights (COCO, 256x192).
"""

from typing import Any

from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.framewise.models.static_sizes import PoseMaps

BACKBONE_WIDTH = 256  # values of a picture
_FEATURES, _JOINTS, _UPPER_BODY = 32, 17, 13  # channels at a quarter of the size, of COCO, and without knees and feet
_UNUSED = ("incre_modules", "downsamp_modules", "final_layer", "global_pool", "head_drop", "classifier")
"""Parts of timm's network that classify pictures."""


class PoseBackbone(nn.Module):
    """Pose net -> 13 maps -> three residual blocks, each of half the size -> mean over the picture."""

    def __init__(self, maps: PoseMaps = "heatmaps13") -> None:
        """Make a network with random weights.

        Raises UserError where timm is not installed.

        Args:
            maps: the heatmaps of the joints above the knees, as the paper says; or the first 13 of the 32 features
                before them, as the authors' code takes them for those.
        """
        super().__init__()
        self.maps: PoseMaps = maps
        self.pose = _pose_net()
        self.heatmaps = nn.Conv2d(_FEATURES, _JOINTS, 1) if maps == "heatmaps13" else nn.Identity()
        self.pose.requires_grad_(False)
        self.heatmaps.requires_grad_(False)
        self.blocks = nn.Sequential(ResidualBlock(_UPPER_BODY, 128), ResidualBlock(128, 128), ResidualBlock(128, 256))

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """Return (B, 256) of normalized pictures, whose sides are multiples of 32."""
        joints_BCHW: Tensor = self.heatmaps(self.features(pictures_B3HW))
        return self.blocks(joints_BCHW[:, :_UPPER_BODY]).mean((2, 3))

    def features(self, pictures_B3HW: Tensor) -> Tensor:
        """Return the 32 maps of a quarter of the size, (B, 32, H / 4, W / 4)."""
        maps_BCHW: Tensor = self.pose.forward_features(pictures_B3HW)[0]
        return maps_BCHW

    def train(self, mode: bool = True) -> "PoseBackbone":
        """Set the mode of the blocks; the pose net is frozen, its batch statistics too."""
        super().train(mode)
        self.pose.eval()
        return self


class ResidualBlock(nn.Module):
    """Two convolutions beside a linear map of the same stride, 2."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels))
        self.downsample = nn.Sequential(nn.Conv2d(channels, out_channels, 1, 2), nn.BatchNorm2d(out_channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return maps of half the size, rounded up."""
        return (self.conv2(self.conv1(x_BCHW)) + self.downsample(x_BCHW)).relu()


def _pose_net() -> Any:
    """Return HRNet-W32 up to its maps of the highest resolution, the only ones that the last stage then computes."""
    try:
        from timm.models.hrnet import hrnet_w32
    except ImportError:
        raise UserError("hrnet_w32: timm is not installed; pip install 'avf-foundry[hrnet]'") from None
    net = hrnet_w32(pretrained=False)
    for name in _UNUSED:
        setattr(net, name, None)
    last = net.stage4[-1]
    last.fuse_layers = last.fuse_layers[:1]
    return net
