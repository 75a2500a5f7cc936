"""SyncNet in the state-dict format of its authors (joonson/syncnet_python): offset, distance, confidence.

A lip window is five frames, an audio window is twenty MFCC steps; both become 1024-d embeddings whose distance is
small where lips and sound belong together. The first lip convolution spans all five frames, so it is a 2-D convolution
over 15 channels and all others are 2-D too. Shapes: W windows, S shifts, D = 1024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.timeline import SAMPLES_PER_FRAME
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from avf_curation.detectors.mfcc import compute_mfcc
from avf_curation.detectors.weight_files import load_weights
from avf_curation.media.types import Bytes, Samples

LIP_FRAMES, AUDIO_STEPS, STEPS_PER_FRAME = 5, 20, 4
_EPSILON = 1e-6  # torch's pairwise_distance adds it to every difference; the published figures contain it


class FoldedConv(nn.Module):
    """A Conv3d that sees all its frames at once, kept in the authors' 5-D shape and run as a Conv2d."""

    def __init__(
        self, inputs: int, outputs: int, frames: int, kernel: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, frames, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.padding = stride, padding

    def forward(self, x_BCHW: Tensor) -> Tensor:
        weight = self.weight.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return nn.functional.conv2d(x_BCHW, weight, self.bias, self.stride, self.padding)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNet(nn.Module):
    """Two towers, `lip` and `audio`, into one space."""

    def __init__(self) -> None:
        super().__init__()

        def normed(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]

        self.netcnnaud = nn.Sequential(
            *normed(nn.Conv2d(1, 64, 3, padding=1), 64),
            nn.Identity(),
            *normed(nn.Conv2d(64, 192, 3, padding=1), 192),
            nn.MaxPool2d(3, (1, 2)),
            *normed(nn.Conv2d(192, 384, 3, padding=1), 384),
            *normed(nn.Conv2d(384, 256, 3, padding=1), 256),
            *normed(nn.Conv2d(256, 256, 3, padding=1), 256),
            nn.MaxPool2d(3, 2),
            *normed(nn.Conv2d(256, 512, (5, 4)), 512),
        )
        self.netcnnlip = nn.Sequential(
            *normed(FoldedConv(3, 96, 5, 7, stride=2), 96),
            nn.MaxPool2d(3, 2),
            *normed(FoldedConv(96, 256, 1, 5, stride=2, padding=1), 256),
            nn.MaxPool2d(3, 2, 1),
            *normed(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            *normed(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            *normed(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            nn.MaxPool2d(3, 2),
            *normed(FoldedConv(256, 512, 1, 6), 512),
        )
        self.netfcaud, self.netfclip = _head(), _head()

    def lip(self, windows_W15HW: Tensor) -> Tensor:
        """(W, 3 * 5, 224, 224), BGR 0 to 255, channel-major -> (W, D)."""
        embedding_WD: Tensor = self.netfclip(self.netcnnlip(windows_W15HW).flatten(1))
        return embedding_WD

    def audio(self, windows_W1FT: Tensor) -> Tensor:
        """(W, 1, 13, 20) MFCCs -> (W, D)."""
        embedding_WD: Tensor = self.netfcaud(self.netcnnaud(windows_W1FT).flatten(1))
        return embedding_WD


@dataclass(frozen=True, kw_only=True)
class SyncNetScore:
    """offset: frames by which the sound must be moved later. distance: least mean distance over shifts.

    confidence: median over shifts minus that. distances_S: the means; lip windows looked at.
    """

    offset: int
    distance: float
    confidence: float
    distances_S: npt.NDArray[np.float32]
    windows: int


class SyncNetScorer:
    """Warm network on any device."""

    def __init__(self, weights: dict[str, Tensor], device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = SyncNet()
        self.model.load_state_dict(weights)
        self.model.eval()
        self._lip = nn.Sequential(_fused(self.model.netcnnlip), nn.Flatten(1), self.model.netfclip).to(self.device)
        self._audio = nn.Sequential(_fused(self.model.netcnnaud), nn.Flatten(1), self.model.netfcaud).to(self.device)

    @classmethod
    def from_file(cls, path: Path, device: str = "cpu") -> "SyncNetScorer":
        return cls(load_weights(path), device)

    def score(
        self,
        frames_THWC: Sequence[Bytes],
        samples: Samples,
        *,
        shifts: int = 15,
        every: int = 1,
        authors_code: bool = False,
        batch: int = 8,
    ) -> SyncNetScore:
        """Compare lips and sound over -shifts to +shifts frames, on each every-th lip window.

        frames_THWC: BGR 224x224, from SyncNet's own face crop. `authors_code` lets the zero padding at both ends in
        the means, as the authors do; else padded shifts are masked. Raises ValueError below six frames.
        """
        windows = min(len(frames_THWC), len(samples) // SAMPLES_PER_FRAME) - LIP_FRAMES
        if windows < 1:
            raise ValueError(f"{len(frames_THWC)} frames are too few for SyncNet: it needs {LIP_FRAMES + 1}")
        at = np.arange(0, windows, every)
        lip_WD = self.lips(frames_THWC, at, batch)
        audio_WD = self.sounds(samples, windows, batch)
        distances_S = mean_distances(lip_WD, audio_WD, torch.from_numpy(at), shifts, authors_code).cpu().numpy()
        best = int(np.argmin(distances_S))
        confidence = float(np.median(distances_S) - distances_S[best])
        return SyncNetScore(
            offset=shifts - best,
            distance=float(distances_S[best]),
            confidence=confidence,
            distances_S=distances_S,
            windows=len(at),
        )

    @torch.inference_mode()
    def lips(self, frames_THWC: Sequence[Bytes], at: npt.NDArray[np.int64], batch: int = 8) -> Tensor:
        """Embeddings of the lip windows that start at frames `at`, (W, D)."""
        out = []
        for first in range(0, len(at), batch):
            chosen = at[first : first + batch]
            windows = np.stack([np.stack(frames_THWC[i : i + LIP_FRAMES]) for i in chosen])  # (W, 5, H, W, 3)
            x = torch.from_numpy(windows).to(self.device).permute(0, 4, 1, 2, 3).flatten(1, 2)
            out.append(self._lip(x.float().contiguous(memory_format=torch.channels_last)))
        return torch.cat(out)

    @torch.inference_mode()
    def sounds(self, samples: Samples, windows: int, batch: int = 8) -> Tensor:
        """Embeddings of the audio windows of frames 0 to windows - 1, (W, D)."""
        steps = torch.from_numpy(compute_mfcc(samples).T.astype(np.float32)).to(self.device)  # (13, steps)
        x = steps.unfold(1, AUDIO_STEPS, STEPS_PER_FRAME)[:, :windows].permute(1, 0, 2).unsqueeze(1)
        return torch.cat([self._audio(x[i : i + 4 * batch]) for i in range(0, windows, 4 * batch)])


def _fused(tower: nn.Sequential) -> nn.Sequential:
    """The tower for inference: plain 2-D convolutions, channels last, with their batch norms folded in."""
    layers: list[nn.Module] = []
    for module in tower:
        if isinstance(module, FoldedConv):
            weight = module.weight.detach().flatten(1, 2)
            conv = nn.Conv2d(weight.shape[1], len(weight), weight.shape[-1], module.stride, module.padding)
            conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(module.bias.detach().clone())
            layers.append(conv)
        elif isinstance(module, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1].eval(), module)
        else:
            layers.append(module)
    fused = nn.Sequential(*layers).eval()
    fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types lack it
    return fused


def mean_distances(lip_WD: Tensor, audio_WD: Tensor, at_W: Tensor, shifts: int, authors_code: bool) -> Tensor:
    """Mean Euclidean distance per shift, (2 * shifts + 1,).

    Shift s pairs lip window i with audio window i + s - shifts.
    """
    padded = nn.functional.pad(audio_WD, (0, 0, shifts, shifts))
    place_WS = at_W[:, None].to(audio_WD.device) + torch.arange(2 * shifts + 1, device=audio_WD.device)
    means = []
    for shift in range(2 * shifts + 1):
        place = place_WS[:, shift]
        distance = (lip_WD - padded[place] + _EPSILON).norm(dim=1)
        real = (place >= shifts) & (place < shifts + len(audio_WD))
        if authors_code:
            means.append(distance.mean())
        else:
            means.append(distance[real].mean() if bool(real.any()) else distance.new_tensor(float("inf")))
    return torch.stack(means)


def formula_weights() -> dict[str, Any]:
    """A full set of weights that follows from the names of the tensors: for tests and for the oracle's figures."""
    return {key: formula_tensor(key, value) for key, value in SyncNet().state_dict().items()}


def formula_tensor(key: str, like: Tensor) -> Tensor:
    """The formula of the oracle's README for one tensor of a state dict."""
    import zlib

    draws = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(like.shape))
    if key.endswith("num_batches_tracked"):
        return torch.zeros_like(like)
    if key.endswith("running_mean"):
        draws = 0.1 * draws
    elif key.endswith("running_var"):
        draws = 1 + 0.1 * np.abs(draws)
    elif like.ndim == 1:
        draws = 1 + 0.1 * draws if key.endswith("weight") else 0.1 * draws
    else:
        draws = draws * np.sqrt(2 / np.prod(like.shape[1:]))
    return torch.from_numpy(np.asarray(draws, np.float32))
