"""I3D (Carreira & Zisserman 2017) as VideoGPT's and cd-fvd's FVD use it, under the names of their weight file.

Padding is that of TensorFlow's `SAME`: zeros are added so that an axis of S values gives ceil(S / stride), the odd zero
behind. Shapes: B videos, C channels, T frames, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from avf_shards.errors import UserError
from torch import Tensor, nn

CLASSES = 400  # of Kinetics; the logits are the features
#: Name -> channels of the four branches: 1x1; 1x1, 3x3; 1x1, 3x3; 1x1 behind the pooling.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
#: Pooling before a part: kernel, and stride.
_POOLS = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
_LAST_POOL = (2, 7, 7)


class KineticsNetwork(nn.Module):
    """I3D for pictures of 224 x 224 in colour: 400 logits, the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("Conv3d_1a_7x7", _Unit(3, 64, 7, stride=2))
        self.add_module("Conv3d_2b_1x1", _Unit(64, 64, 1))
        self.add_module("Conv3d_2c_3x3", _Unit(64, 192, 3))
        channels = 192
        for name, sizes in _MIXED.items():
            self.add_module(name, _Mixed(channels, sizes))
            channels = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.logits = _Logits(channels)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Return the logits (B, 400) of videos of -1 to 1 with at least nine frames."""
        x = video_BCTHW
        for name, part in self.named_children():
            if name in _POOLS:
                kernel, stride = _POOLS[name]
                x = F.max_pool3d(_pad_same(x, kernel, stride), kernel, stride)
            x = part(x)
        return x


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(_pad_same(x, self.kernel, self.stride))))


class _Mixed(nn.Module):
    """Four branches beside each other."""

    def __init__(self, channels: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.b0 = _Unit(channels, sizes[0], 1)
        self.b1a, self.b1b = _Unit(channels, sizes[1], 1), _Unit(sizes[1], sizes[2], 3)
        self.b2a, self.b2b = _Unit(channels, sizes[3], 1), _Unit(sizes[3], sizes[4], 3)
        self.b3b = _Unit(channels, sizes[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool3d(_pad_same(x, (3, 3, 3), (1, 1, 1)), 3, 1)
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class _Logits(nn.Module):
    """Mean over 2 x 7 x 7, a linear layer at each time, and the mean over time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits_BCTHW: Tensor = self.conv3d(F.avg_pool3d(x, _LAST_POOL, 1))
        return logits_BCTHW.mean((2, 3, 4))


def _pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Add the zeros of TensorFlow's `SAME`; pooling sees them too, as there."""
    pads: list[int] = []
    for size, edge, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(edge - (size % step or step), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def load_kinetics_network(path: Path, device: torch.device) -> KineticsNetwork:
    """Return the network with the weights in i3d_pretrained_400.pt. Raises UserError for another file."""
    try:
        tensors = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # what torch raises for a foreign file has no common type
        reason = (" ".join(str(error).split()) or type(error).__name__)[:120]  # of a file that is cut off: no word
        raise UserError(f"{path}: is no file of weights such as i3d_pretrained_400.pt ({reason})") from None
    network = KineticsNetwork()
    try:
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: does not have the weights of i3d_pretrained_400.pt ({reason})") from None
    return network.to(device).eval()
