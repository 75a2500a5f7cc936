"""RetinaFace: one batched detector over the two networks of retinaface_network.py.

Shapes: B images, C channels, H height, W width, P prior boxes, N faces of one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from avf_curation.detectors.retinaface_network import STRIDES, mobilenet, resnet50
from avf_curation.detectors.weight_files import fill_model
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box, FacesConfig

Architecture = Literal["mobilenet", "resnet50"]
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))  # pixels: two square prior boxes at each position of a level
VARIANCE = (0.1, 0.2)  # scale of the networks' outputs: of centres and landmarks, of sizes


class OneDnnConv(nn.Module):
    """A convolution that always runs in oneDNN.

    With one thread torch would take its own slow kernel for 1x1 convolutions, which are half of ResNet-50's work.
    """

    def __init__(self, conv2d: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv2d.weight, conv2d.bias
        self._padding, self._stride, self._dilation = (
            [int(side) for side in pair] for pair in (conv2d.padding, conv2d.stride, conv2d.dilation)
        )
        self._groups = conv2d.groups

    def forward(self, x_BCHW: Tensor) -> Tensor:
        geometry = self._padding, self._stride, self._dilation, self._groups
        return torch.mkldnn_convolution(x_BCHW, self.weight, self.bias, *geometry)


def optimize_for_one_core(model: nn.Module) -> nn.Module:
    """Return the network for inference on one CPU core: batch norms folded into convolutions, which run in oneDNN."""
    from torch.fx.experimental.optimization import fuse

    def replace_convolutions(module: nn.Module) -> nn.Module:
        for name, child in module.named_children():
            setattr(module, name, OneDnnConv(child) if isinstance(child, nn.Conv2d) else replace_convolutions(child))
        return module

    return replace_convolutions(fuse(model))


@lru_cache(maxsize=16)
def prior_boxes(height: int, width: int) -> Tensor:
    """Return the prior boxes of an image as centre x, y, width, height in pixels, (P, 4)."""
    levels = []
    for stride, sides in zip(STRIDES, PRIOR_SIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(-(-height // stride)), torch.arange(-(-width // stride)), indexing="ij")
        centres = (torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5) * stride
        extents = torch.tensor(sides, dtype=torch.float32).reshape(1, -1, 1).expand(len(centres), -1, 2)
        levels.append(torch.cat([centres.expand(-1, len(sides), -1), extents], -1).reshape(-1, 4))
    return torch.cat(levels)


def decode_boxes(deltas_P4: Tensor, landmarks_P10: Tensor, priors_P4: Tensor) -> tuple[Tensor, Tensor]:
    """Return boxes (P, 4) as left, top, right, bottom, and landmarks (P, 5, 2), in pixels."""
    centre, size = priors_P4[:, :2], priors_P4[:, 2:]
    centres = centre + deltas_P4[:, :2] * VARIANCE[0] * size
    half = size * torch.exp(deltas_P4[:, 2:] * VARIANCE[1]) / 2
    points = centre[:, None] + landmarks_P10.reshape(-1, 5, 2) * VARIANCE[0] * size[:, None]
    return torch.cat([centres - half, centres + half], 1), points


@dataclass(frozen=True, kw_only=True)
class RetinaFaceDetections:
    """The faces of one image, best first, in pixels of that image."""

    boxes_N4: np.ndarray  # left, top, right, bottom
    scores_N: np.ndarray  # probability of a face
    landmarks_N52: np.ndarray  # x, y of left eye, right eye, nose, left and right corner of the mouth


class RetinaFaceDetector:
    """RetinaFace, loaded once. All images of one call have one size, and are padded to a multiple of 32."""

    def __init__(
        self, architecture: Architecture, weights: dict[str, Tensor], device: str = "cpu", name: str = "retinaface"
    ) -> None:
        """Load the weights of an architecture and prepare the network for inference on a device of torch.

        Raises UserError, which begins with `name`, for the weights of another model.
        """
        self.architecture, self.device = architecture, torch.device(device)
        self.model = mobilenet() if architecture == "mobilenet" else resnet50()
        fill_model(self.model, {key.removeprefix("module."): value for key, value in weights.items()}, name)
        self.model.eval().to(self.device)
        if architecture == "resnet50" and self.device.type == "cpu":
            self.model = optimize_for_one_core(self.model)
        self._batch_size = 4 if architecture == "mobilenet" else 2 if self.device.type == "cpu" else 16
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub of Module.to has no memory_format alone

    @torch.inference_mode()
    def detect(self, images_BHWC: Sequence[Bytes], min_score: float, nms_iou: float) -> list[RetinaFaceDetections]:
        """Return the faces of each BGR image.

        min_score: the smallest score of a face that is returned. nms_iou: the overlap (intersection over union) above
        which two boxes are one face, and the better of them is returned.
        """
        detections: list[RetinaFaceDetections] = []
        for start in range(0, len(images_BHWC), self._batch_size):
            detections += self._detect_batch(
                np.stack(images_BHWC[start : start + self._batch_size]), min_score, nms_iou
            )
        return detections

    def _detect_batch(self, images_BHWC: Bytes, min_score: float, nms_iou: float) -> list[RetinaFaceDetections]:
        height, width = images_BHWC.shape[1:3]
        deltas, logits, points = self.model(self._prepare(images_BHWC))
        scores_BP = logits.softmax(-1)[..., 1]
        prior = prior_boxes(-(-height // 32) * 32, -(-width // 32) * 32).to(self.device)
        image, box = torch.nonzero(scores_BP > min_score, as_tuple=True)
        scores = scores_BP[image, box]
        boxes, landmarks = decode_boxes(deltas[image, box], points[image, box], prior[box])
        # Damaged weights give sizes like exp(100), which would end a video: no face is larger than four pictures.
        is_credible = (boxes.abs() <= 4 * max(height, width)).all(1)  # false for what is not a number
        image, scores, boxes, landmarks = (x[is_credible] for x in (image, scores, boxes, landmarks))
        keep = batched_nms(boxes, scores, image, nms_iou)
        results = []
        for number in range(len(images_BHWC)):
            rows = keep[image[keep] == number]
            results.append(
                RetinaFaceDetections(
                    boxes_N4=boxes[rows].cpu().numpy(),
                    scores_N=scores[rows].cpu().numpy(),
                    landmarks_N52=landmarks[rows].cpu().numpy(),
                )
            )
        return results

    def _prepare(self, images_BHWC: Bytes) -> Tensor:
        """Return BGR images as the network takes them, padded at the right and the bottom."""
        x = torch.from_numpy(images_BHWC).to(self.device).permute(0, 3, 1, 2).float()
        if self.architecture == "mobilenet":  # trained on BGR minus ImageNet's mean; the other on standardised RGB
            x = x - x.new_tensor((104.0, 117.0, 123.0)).reshape(1, 3, 1, 1)
        else:
            mean, std = x.new_tensor((0.485, 0.456, 0.406)), x.new_tensor((0.229, 0.224, 0.225))
            x = (x.flip(1) / 255 - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)
        pad = (0, -x.shape[3] % 32, 0, -x.shape[2] % 32)
        return F.pad(x, pad).contiguous(memory_format=torch.channels_last)


class RetinaFaceFinder:
    """The detector as the faces stage searches with it."""

    pixel_format: Literal["bgr24"] = "bgr24"

    def __init__(self, detector: RetinaFaceDetector) -> None:
        self._detector = detector

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each BGR image, which is `scale` times its source, in source pixels."""
        detections = self._detector.detect(images, config.min_probability, config.nms_iou)
        return [to_boxes(faces, scale) for faces in detections]


def to_boxes(faces: RetinaFaceDetections, scale: float) -> list[Box]:
    """Return the faces of an image as boxes in source pixels with the centre of the mouth.

    scale: size of the image over the size of the source.
    """
    boxes_N4 = faces.boxes_N4.astype(float) / scale
    mouths_N2 = faces.landmarks_N52[:, 3:].mean(1).astype(float) / scale
    return [
        Box(left=left, top=top, right=right, bottom=bottom, score=float(score), mouth=(mouth[0], mouth[1]))
        for (left, top, right, bottom), score, mouth in zip(
            boxes_N4.tolist(), faces.scores_N, mouths_N2.tolist(), strict=True
        )
    ]
