"""The networks of RetinaFace: MobileNet-0.25 and ResNet-50 in the weight formats of their publishers.

The first has the names of biubug6/Pytorch_Retinaface, the second those of the package retinaface-pytorch, whose network
is taken where it is installed: it pins a torch that is years old, so the program cannot ask for it.

Shapes: B images, C channels, H height, W width, P prior boxes.
"""

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

STRIDES = (8, 16, 32)  # pixels between the positions of a feature level


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, slope: float | None = 0.1, groups: int = 1) -> Any:
    """Return a convolution, batch norm and, with a slope, leaky ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if slope is None else [nn.LeakyReLU(slope, inplace=True)]))


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a depthwise and a pointwise convolution, in one flat sequence as in the weight file."""
    return nn.Sequential(*conv(inputs, inputs, 3, stride, groups=inputs), *conv(inputs, outputs, 1))


class MobileNet025(nn.Module):
    """Backbone: features at strides 8, 16, 32 with 64, 128, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv(3, 8, 3, 2),
            separable(8, 16, 1),
            separable(16, 32, 2),
            separable(32, 32, 1),
            separable(32, 64, 2),
            separable(64, 64, 1),
        )
        self.stage2 = nn.Sequential(separable(64, 128, 2), *(separable(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(separable(128, 256, 2), separable(256, 256, 1))

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = self.stage1(x_BCHW)
        middle = self.stage2(low)
        return low, middle, self.stage3(middle)


class ResNet50(nn.Module):
    """Backbone: features at strides 8, 16, 32 with 512, 1024, 2048 channels."""

    def __init__(self) -> None:
        super().__init__()
        layers = torchvision.models.resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = layers.conv1, layers.bn1, layers.relu, layers.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            *(layers.layer1, layers.layer2),
            *(layers.layer3, layers.layer4),
        )

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stem = self.maxpool(self.relu(self.bn1(self.conv1(x_BCHW))))
        low = self.layer2(self.layer1(stem))
        middle = self.layer3(low)
        return low, middle, self.layer4(middle)


class Pyramid(nn.Module):
    """Feature pyramid: each level adds the upsampled level above it."""

    def __init__(self, channels: tuple[int, int, int], width: int, slope: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (conv(c, width, 1, slope=slope) for c in channels)
        self.merge1, self.merge2 = (conv(width, width, 3, slope=slope) for _ in range(2))

    def forward(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        low, middle, high = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        middle = self.merge2(middle + F.interpolate(high, size=middle.shape[-2:], mode="nearest"))
        low = self.merge1(low + F.interpolate(middle, size=low.shape[-2:], mode="nearest"))
        return low, middle, high


class Context(nn.Module):
    """Context module of the SSH head: receptive fields of 3, 5 and 7 positions, concatenated."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.conv3X3 = conv(width, width // 2, 3, slope=None)
        self.conv5X5_1 = conv(width, width // 4, 3, slope=slope)
        self.conv5X5_2 = conv(width // 4, width // 4, 3, slope=None)
        self.conv7X7_2 = conv(width // 4, width // 4, 3, slope=slope)
        self.conv7x7_3 = conv(width // 4, width // 4, 3, slope=None)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        five = self.conv5X5_1(x_BCHW)
        seven = self.conv7x7_3(self.conv7X7_2(five))
        return F.relu(torch.cat([self.conv3X3(x_BCHW), self.conv5X5_2(five), seven], dim=1))


class Head(nn.Module):
    """A 1x1 convolution to `values` numbers for each prior box, two at each position: (B, P, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, 2 * values, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        values_BCHW: Tensor = self.conv1x1(x_BCHW)
        return values_BCHW.permute(0, 2, 3, 1).reshape(x_BCHW.shape[0], -1, self.values)


class RetinaFaceNetwork(nn.Module):
    """Backbone, feature pyramid, context modules and heads. Modules have the weight file's names.

    Images (B, 3, H, W) to box deltas (B, P, 4), logits (B, P, 2) and landmark deltas (B, P, 10).
    """

    def __init__(self, body: nn.Module, channels: tuple[int, int, int], width: int, slope: float) -> None:
        """Build the network.

        Args:
            body: the backbone.
            channels: of its three levels.
            width: channels of the pyramid.
            slope: of the leaky ReLUs behind the backbone, for negative values.
        """
        super().__init__()
        self.body, self.fpn = body, Pyramid(channels, width, slope)
        self.ssh1, self.ssh2, self.ssh3 = (Context(width, slope) for _ in STRIDES)
        self.ClassHead = nn.ModuleList(Head(width, 2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(width, 4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(width, 10) for _ in STRIDES)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels = self.fpn(self.body(x_BCHW))
        features = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]

        def heads(modules: nn.ModuleList) -> Tensor:
            return torch.cat([head(feature) for head, feature in zip(modules, features, strict=True)], dim=1)

        return heads(self.BboxHead), heads(self.ClassHead), heads(self.LandmarkHead)


def mobilenet() -> nn.Module:
    """Return the small network, without weights, which takes BGR minus the mean."""
    return RetinaFaceNetwork(MobileNet025(), (64, 128, 256), 64, slope=0.1)


def resnet50() -> nn.Module:
    """Return the large network, without weights, which takes standardised RGB: the package's where it is installed."""
    return package_resnet50() if importlib.util.find_spec("retinaface") else own_resnet50()


def own_resnet50() -> nn.Module:
    """Return our network in the weight format of the package retinaface-pytorch."""
    return RetinaFaceNetwork(ResNet50(), (512, 1024, 2048), 256, slope=0.0)


def package_resnet50() -> nn.Module:
    """Return the network of the package retinaface-pytorch, which has to be installed."""
    from retinaface.network import RetinaFace

    model: nn.Module = RetinaFace(
        name="Resnet50",
        pretrained=False,
        return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
        in_channels=256,
        out_channels=256,
    )
    return model
