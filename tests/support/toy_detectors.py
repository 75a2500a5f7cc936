"""TorchScript networks in the shape of the detectors of FVD and FID, small enough to compute by hand."""

from pathlib import Path

import torch
from torch import Tensor, nn


class ToyI3D(nn.Module):
    """Takes a video and three flags, as StyleGAN-V's file does, and returns the mean of each colour and the flags."""

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True) -> Tensor:
        flags = torch.tensor([float(rescale), float(resize), float(return_features)]).expand(x.shape[0], 3)
        return torch.cat([x.mean((2, 3, 4)), flags], 1)


class ToyLayers(nn.Module):
    """The mean and the maximum of each colour of a picture, as (N, 6, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)[:, :, None, None]


class ToyInception(nn.Module):
    """A network whose `layers` are called, as of clean-fid's file."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ToyLayers()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features


def save_toy(module: nn.Module, path: Path) -> Path:
    """Write a module as a TorchScript file."""
    torch.jit.script(module).save(str(path))
    return path
