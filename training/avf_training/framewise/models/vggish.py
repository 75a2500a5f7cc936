"""VGGish: a convolutional network of log-mel spectrograms of 0.96 s (Hershey et al. 2017), and its post-processing.

Shapes: E examples of 96 frames of 10 ms and 64 bands, D values of an embedding (128).
"""

from typing import Literal

import torch
from torch import Tensor, nn

EXAMPLE_FRAMES, BANDS = 96, 64
QUANTIZED_RANGE = 2.0  # whitened values are limited to -2..2, which becomes 0..255

Widths = tuple[int, ...]
CHANNELS: Widths = (64, 128, 256, 256, 512, 512)
UNITS: Widths = (4096, 4096, 128)


class VGGish(nn.Module):
    """Six convolutions in four stages, each ended by a pool, and three maps; a ReLU after every layer and the last."""

    def __init__(self, channels: Widths = CHANNELS, units: Widths = UNITS) -> None:
        super().__init__()
        features: list[nn.Module] = []
        before = 1
        for number, width in enumerate(channels):
            features += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            if number in (0, 1, 3, 5):
                features.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*features)
        embeddings: list[nn.Module] = []
        before *= (EXAMPLE_FRAMES // 16) * (BANDS // 16)
        for width in units:
            embeddings += [nn.Linear(before, width), nn.ReLU()]
            before = width
        self.embeddings = nn.Sequential(*embeddings)

    def forward(self, examples_EFM: Tensor) -> Tensor:
        """Return (E, D). Channels are last where the maps are laid out in a row, as in the original network."""
        maps_ECFM = self.features(examples_EFM[:, None])
        return self.embeddings(maps_ECFM.permute(0, 2, 3, 1).flatten(1))


class Whitening(nn.Module):
    """The published principal components, limits and rounding to 8 bits, which the released embeddings went through."""

    def __init__(self, width: int = UNITS[-1]) -> None:
        super().__init__()
        self.register_buffer("pca_eigen_vectors", torch.eye(width))
        self.register_buffer("pca_means", torch.zeros(width, 1))
        self.pca_eigen_vectors: Tensor
        self.pca_means: Tensor

    def forward(self, embeddings_ED: Tensor, scale: Literal["0..255", "0..1"] = "0..255") -> Tensor:
        """Return whole numbers 0..255, or their 255th parts, as NetEase divides them, (E, D)."""
        whitened_ED = (self.pca_eigen_vectors @ (embeddings_ED.T - self.pca_means)).T
        limited_ED = whitened_ED.clamp(-QUANTIZED_RANGE, QUANTIZED_RANGE)
        whole_ED = ((limited_ED + QUANTIZED_RANGE) * (255 / (2 * QUANTIZED_RANGE))).round()
        return whole_ED if scale == "0..255" else whole_ED / 255
