"""RetinaFace: one batched detector over two networks.

MobileNet-0.25 is our own small network in the weight format of biubug6/Pytorch_Retinaface; ResNet-50 is the network of
the package retinaface-pytorch with its weight format. Shapes: B batch, P priors, H W picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box

Architecture = Literal["mobilenet", "resnet50"]
STRIDES = (8, 16, 32)
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))
VARIANCE = (0.1, 0.2)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, slope: float | None = 0.1, groups: int = 1) -> Any:
    """Convolution, batch norm and, with a slope, leaky ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if slope is None else [nn.LeakyReLU(slope, inplace=True)]))


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Depthwise then pointwise convolution, flat as in the weight file."""
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


class Pyramid(nn.Module):
    """Feature pyramid: each level takes the upsampled one above."""

    def __init__(self, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (conv(c, width, 1) for c in channels)
        self.merge1, self.merge2 = conv(width, width, 3), conv(width, width, 3)

    def forward(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        low, middle, high = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        middle = self.merge2(middle + F.interpolate(high, size=middle.shape[-2:], mode="nearest"))
        low = self.merge1(low + F.interpolate(middle, size=low.shape[-2:], mode="nearest"))
        return low, middle, high


class Context(nn.Module):
    """The SSH head's context module: receptive fields of 3, 5 and 7, concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv3X3 = conv(width, width // 2, 3, slope=None)
        self.conv5X5_1 = conv(width, width // 4, 3)
        self.conv5X5_2 = conv(width // 4, width // 4, 3, slope=None)
        self.conv7X7_2 = conv(width // 4, width // 4, 3)
        self.conv7x7_3 = conv(width // 4, width // 4, 3, slope=None)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        five = self.conv5X5_1(x_BCHW)
        seven = self.conv7x7_3(self.conv7X7_2(five))
        return F.relu(torch.cat([self.conv3X3(x_BCHW), self.conv5X5_2(five), seven], dim=1))


class Head(nn.Module):
    """A 1x1 convolution to `values` numbers for each of two priors per place: (B, P, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, 2 * values, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        values_BCHW: Tensor = self.conv1x1(x_BCHW)
        return values_BCHW.permute(0, 2, 3, 1).reshape(len(x_BCHW), -1, self.values)


class RetinaFaceMobileNet(nn.Module):
    """(B, 3, H, W) BGR minus mean -> box deltas (B, P, 4), logits (B, P, 2), landmark deltas (B, P, 10)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body, self.fpn = MobileNet025(), Pyramid((64, 128, 256), width)
        self.ssh1, self.ssh2, self.ssh3 = Context(width), Context(width), Context(width)
        self.ClassHead = nn.ModuleList(Head(width, 2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(width, 4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(width, 10) for _ in STRIDES)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels = self.fpn(self.body(x_BCHW))
        features = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]

        def heads(modules: nn.ModuleList) -> Tensor:
            return torch.cat([head(feature) for head, feature in zip(modules, features, strict=True)], dim=1)

        return heads(self.BboxHead), heads(self.ClassHead), heads(self.LandmarkHead)


def resnet50() -> nn.Module:
    """The network of the package retinaface-pytorch, without weights."""
    from retinaface.network import RetinaFace

    model: nn.Module = RetinaFace(
        name="Resnet50",
        pretrained=False,
        return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
        in_channels=256,
        out_channels=256,
    )
    return model


class OneDnnConv(nn.Module):
    """A convolution that goes to oneDNN whatever the number of threads: with one thread torch takes its own slow
    kernel for 1x1 convolutions, half of what ResNet-50 does."""

    def __init__(self, conv2d: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv2d.weight, conv2d.bias
        self._padding, self._stride, self._dilation = (
            [int(one) for one in pair] for pair in (conv2d.padding, conv2d.stride, conv2d.dilation)
        )
        self._groups = conv2d.groups

    def forward(self, x_BCHW: Tensor) -> Tensor:
        how = self._padding, self._stride, self._dilation, self._groups
        return torch.mkldnn_convolution(x_BCHW, self.weight, self.bias, *how)


def for_one_core(model: nn.Module) -> nn.Module:
    """The same network for inference on one CPU core: batch norms folded into convolutions, oneDNN for all of them."""
    from torch.fx.experimental.optimization import fuse

    def replaced(module: nn.Module) -> nn.Module:
        for name, child in module.named_children():
            setattr(module, name, OneDnnConv(child) if isinstance(child, nn.Conv2d) else replaced(child))
        return module

    return replaced(fuse(model))


@lru_cache(maxsize=16)
def prior_boxes(height: int, width: int) -> Tensor:
    """Prior boxes as centre x, y, width, height in pixels, (P, 4)."""
    levels = []
    for stride, sides in zip(STRIDES, PRIOR_SIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(-(-height // stride)), torch.arange(-(-width // stride)), indexing="ij")
        centres = (torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5) * stride
        extents = torch.tensor(sides, dtype=torch.float32).reshape(1, -1, 1).expand(len(centres), -1, 2)
        levels.append(torch.cat([centres.expand(-1, len(sides), -1), extents], -1).reshape(-1, 4))
    return torch.cat(levels)


def decode_boxes(deltas_P4: Tensor, landmarks_P10: Tensor, priors_P4: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (P, 4) as left, top, right, bottom and landmarks (P, 5, 2), in pixels."""
    at, size = priors_P4[:, :2], priors_P4[:, 2:]
    centres = at + deltas_P4[:, :2] * VARIANCE[0] * size
    half = size * torch.exp(deltas_P4[:, 2:] * VARIANCE[1]) / 2
    points = at[:, None] + landmarks_P10.reshape(-1, 5, 2) * VARIANCE[0] * size[:, None]
    return torch.cat([centres - half, centres + half], 1), points


@dataclass(frozen=True, kw_only=True)
class RetinaFaceDetections:
    """Faces of one picture: boxes (N, 4), scores (N,), landmarks (N, 5, 2), in pixels of the given picture."""

    boxes_N4: np.ndarray
    scores_N: np.ndarray
    landmarks_N52: np.ndarray


class RetinaFaceDetector:
    """Batched detection. All pictures of one call have one size; they are padded to a multiple of 32."""

    def __init__(self, architecture: Architecture, weights: dict[str, Tensor], device: str = "cpu") -> None:
        self.architecture, self.device = architecture, torch.device(device)
        self.model = RetinaFaceMobileNet() if architecture == "mobilenet" else resnet50()
        self.model.load_state_dict({key.removeprefix("module."): value for key, value in weights.items()})
        self.model.eval().to(self.device)
        if architecture == "resnet50" and self.device.type == "cpu":
            self.model = for_one_core(self.model)
        self._batch_size = 4 if architecture == "mobilenet" else 2 if self.device.type == "cpu" else 16
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types lack it

    @torch.inference_mode()
    def detect(self, pictures_BHWC: Sequence[Bytes], min_score: float, nms_iou: float) -> list[RetinaFaceDetections]:
        """Faces in each BGR picture, best first."""
        found: list[RetinaFaceDetections] = []
        for at in range(0, len(pictures_BHWC), self._batch_size):
            found += self._batch(np.stack(pictures_BHWC[at : at + self._batch_size]), min_score, nms_iou)
        return found

    def _batch(self, pictures_BHWC: Bytes, min_score: float, nms_iou: float) -> list[RetinaFaceDetections]:
        height, width = pictures_BHWC.shape[1:3]
        deltas, logits, points = self.model(self._prepare(pictures_BHWC))
        scores_BP = logits.softmax(-1)[..., 1]
        prior = prior_boxes(-(-height // 32) * 32, -(-width // 32) * 32).to(self.device)
        picture, place = torch.nonzero(scores_BP > min_score, as_tuple=True)
        scores = scores_BP[picture, place]
        boxes, landmarks = decode_boxes(deltas[picture, place], points[picture, place], prior[place])
        keep = batched_nms(boxes, scores, picture, nms_iou)
        results = []
        for number in range(len(pictures_BHWC)):
            mine = keep[picture[keep] == number]
            results.append(
                RetinaFaceDetections(
                    boxes_N4=boxes[mine].cpu().numpy(),
                    scores_N=scores[mine].cpu().numpy(),
                    landmarks_N52=landmarks[mine].cpu().numpy(),
                )
            )
        return results

    def _prepare(self, pictures_BHWC: Bytes) -> Tensor:
        x = torch.from_numpy(pictures_BHWC).to(self.device).permute(0, 3, 1, 2).float()
        if self.architecture == "mobilenet":
            x = x - x.new_tensor((104.0, 117.0, 123.0)).reshape(1, 3, 1, 1)
        else:
            mean, std = x.new_tensor((0.485, 0.456, 0.406)), x.new_tensor((0.229, 0.224, 0.225))
            x = (x.flip(1) / 255 - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)
        pad = (0, -x.shape[3] % 32, 0, -x.shape[2] % 32)
        return F.pad(x, pad).contiguous(memory_format=torch.channels_last)


def to_boxes(found: RetinaFaceDetections, scale: float) -> list[Box]:
    """`found` in a picture that is the source times `scale`, as boxes in source pixels with the mouth's centre."""
    boxes_N4 = found.boxes_N4.astype(float) / scale
    mouths_N2 = found.landmarks_N52[:, 3:].mean(1).astype(float) / scale
    return [
        Box(left=left, top=top, right=right, bottom=bottom, score=float(score), mouth=(mouth[0], mouth[1]))
        for (left, top, right, bottom), score, mouth in zip(
            boxes_N4.tolist(), found.scores_N, mouths_N2.tolist(), strict=True
        )
    ]
