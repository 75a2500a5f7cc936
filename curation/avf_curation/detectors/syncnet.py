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
from avf_curation.detectors.weight_files import fill_model, load_weights
from avf_curation.media.types import Bytes, Samples

LIP_FRAMES, AUDIO_STEPS, STEPS_PER_FRAME = 5, 20, 4  # an MFCC step is 10 ms
_EPSILON = 1e-6  # torch's pairwise_distance adds it to every difference; the published figures contain it


class FoldedConv(nn.Module):
    """A Conv3d that spans all its frames: its weight has the authors' 5-D shape, and it runs as a Conv2d."""

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
    """Two networks, `lip` and `audio`, whose embeddings lie in one space. Modules have the authors' names."""

    def __init__(self) -> None:
        super().__init__()

        def conv_norm_relu(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]

        self.netcnnaud = nn.Sequential(
            *conv_norm_relu(nn.Conv2d(1, 64, 3, padding=1), 64),
            nn.Identity(),
            *conv_norm_relu(nn.Conv2d(64, 192, 3, padding=1), 192),
            nn.MaxPool2d(3, (1, 2)),
            *conv_norm_relu(nn.Conv2d(192, 384, 3, padding=1), 384),
            *conv_norm_relu(nn.Conv2d(384, 256, 3, padding=1), 256),
            *conv_norm_relu(nn.Conv2d(256, 256, 3, padding=1), 256),
            nn.MaxPool2d(3, 2),
            *conv_norm_relu(nn.Conv2d(256, 512, (5, 4)), 512),
        )
        self.netcnnlip = nn.Sequential(
            *conv_norm_relu(FoldedConv(3, 96, 5, 7, stride=2), 96),
            nn.MaxPool2d(3, 2),
            *conv_norm_relu(FoldedConv(96, 256, 1, 5, stride=2, padding=1), 256),
            nn.MaxPool2d(3, 2, 1),
            *conv_norm_relu(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            *conv_norm_relu(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            *conv_norm_relu(FoldedConv(256, 256, 1, 3, stride=1, padding=1), 256),
            nn.MaxPool2d(3, 2),
            *conv_norm_relu(FoldedConv(256, 512, 1, 6), 512),
        )
        self.netfcaud, self.netfclip = _head(), _head()

    def lip(self, windows_W15HW: Tensor) -> Tensor:
        """Return embeddings (W, D) of lip windows (W, 3 * 5, 224, 224), BGR from 0 to 255, channel-major."""
        embedding_WD: Tensor = self.netfclip(self.netcnnlip(windows_W15HW).flatten(1))
        return embedding_WD

    def audio(self, windows_W1FT: Tensor) -> Tensor:
        """Return embeddings (W, D) of audio windows of MFCCs (W, 1, 13, 20)."""
        embedding_WD: Tensor = self.netfcaud(self.netcnnaud(windows_W1FT).flatten(1))
        return embedding_WD


@dataclass(frozen=True, kw_only=True)
class SyncNetScore:
    """Offset and confidence of one clip."""

    offset: int  # frames by which the sound must be moved later
    distance: float  # the smallest mean distance over shifts
    confidence: float  # the median of the mean distances minus the smallest
    distances_S: npt.NDArray[np.float32]  # mean distance at each shift
    windows: int  # lip windows compared


class SyncNetScorer:
    """SyncNet, loaded once, on a device of torch."""

    def __init__(self, weights: dict[str, Tensor], device: str = "cpu", name: str = "syncnet") -> None:
        """Load the authors' state dict and prepare both networks for inference.

        Raises UserError, which begins with `name`, for the weights of another model.
        """
        self.device = torch.device(device)
        self.model = SyncNet()
        fill_model(self.model, weights, name)
        self.model.eval()
        self._lip = nn.Sequential(_fuse_for_inference(self.model.netcnnlip), nn.Flatten(1), self.model.netfclip).to(
            self.device
        )
        self._audio = nn.Sequential(_fuse_for_inference(self.model.netcnnaud), nn.Flatten(1), self.model.netfcaud).to(
            self.device
        )

    @classmethod
    def from_file(cls, path: Path, device: str = "cpu", digest: str | None = None) -> "SyncNetScorer":
        """Return a scorer with the weights of a file.

        Raises UserError for a file that does not hold them, or has another digest.
        """
        return cls(load_weights(path, digest=digest), device, str(path))

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
        """Return how well lips and sound fit at shifts from -shifts to +shifts frames.

        Args:
            frames_THWC: BGR frames of 224 x 224 px, in SyncNet's own face crop.
            samples: the sound of the same frames.
            shifts: frames to either side.
            every: compare each `every`-th lip window; 1 compares all.
            authors_code: include the zero padding at both ends in the means, as the authors' code does; otherwise
                padded pairs are left out.
            batch: lip windows per forward pass.

        Raises:
            ValueError: the clip has fewer than six frames.
        """
        windows = min(len(frames_THWC), len(samples) // SAMPLES_PER_FRAME) - LIP_FRAMES
        if windows < 1:
            raise ValueError(f"{len(frames_THWC)} frames are too few for SyncNet: it needs {LIP_FRAMES + 1}")
        starts_W = np.arange(0, windows, every)
        lip_WD = self.lips(frames_THWC, starts_W, batch)
        audio_WD = self.sounds(samples, windows, batch)
        starts = torch.from_numpy(starts_W)
        distances_S = mean_distances(lip_WD, audio_WD, starts, shifts, authors_code).cpu().numpy()
        best = int(np.argmin(distances_S))
        confidence = float(np.median(distances_S) - distances_S[best])
        return SyncNetScore(
            offset=shifts - best,
            distance=float(distances_S[best]),
            confidence=confidence,
            distances_S=distances_S,
            windows=len(starts_W),
        )

    @torch.inference_mode()
    def lips(self, frames_THWC: Sequence[Bytes], starts_W: npt.NDArray[np.int64], batch: int = 8) -> Tensor:
        """Return embeddings (W, D) of the lip windows that start at these frames."""
        embeddings = []
        for first in range(0, len(starts_W), batch):
            starts = starts_W[first : first + batch]
            windows_W5HWC = np.stack([np.stack(frames_THWC[start : start + LIP_FRAMES]) for start in starts])
            x = torch.from_numpy(windows_W5HWC).to(self.device).permute(0, 4, 1, 2, 3).flatten(1, 2)
            embeddings.append(self._lip(x.float().contiguous(memory_format=torch.channels_last)))
        return torch.cat(embeddings)

    @torch.inference_mode()
    def sounds(self, samples: Samples, windows: int, batch: int = 8) -> Tensor:
        """Return embeddings (W, D) of the audio windows of frames 0 to windows - 1."""
        steps = torch.from_numpy(compute_mfcc(samples).T.astype(np.float32)).to(self.device)  # (13, steps)
        x = steps.unfold(1, AUDIO_STEPS, STEPS_PER_FRAME)[:, :windows].permute(1, 0, 2).unsqueeze(1)
        return torch.cat([self._audio(x[i : i + 4 * batch]) for i in range(0, windows, 4 * batch)])


def _fuse_for_inference(network: nn.Sequential) -> nn.Sequential:
    """Return the network as plain 2-D convolutions, channels last, with the batch norms folded into them."""
    layers: list[nn.Module] = []
    for module in network:
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
    fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub of Module.to has no memory_format alone
    return fused


def mean_distances(lip_WD: Tensor, audio_WD: Tensor, starts_W: Tensor, shifts: int, authors_code: bool) -> Tensor:
    """Return the mean Euclidean distance at each shift, (2 * shifts + 1,).

    Shift s pairs the lip window that starts at frame i with audio window i + s - shifts. Audio windows before the first
    and after the last are zeros; `authors_code` includes them in the means.
    """
    padded = nn.functional.pad(audio_WD, (0, 0, shifts, shifts))
    window_WS = starts_W[:, None].to(audio_WD.device) + torch.arange(2 * shifts + 1, device=audio_WD.device)
    means = []
    for shift in range(2 * shifts + 1):
        window_W = window_WS[:, shift]  # counted in the padded windows
        distance_W = (lip_WD - padded[window_W] + _EPSILON).norm(dim=1)
        real_W = (window_W >= shifts) & (window_W < shifts + len(audio_WD))
        if authors_code:
            means.append(distance_W.mean())
        else:
            means.append(distance_W[real_W].mean() if bool(real_W.any()) else distance_W.new_tensor(float("inf")))
    return torch.stack(means)


def formula_weights() -> dict[str, Any]:
    """Return weights that follow from the names of the tensors, for tests against the oracle's figures."""
    return {key: formula_tensor(key, value) for key, value in SyncNet().state_dict().items()}


def formula_tensor(key: str, like: Tensor) -> Tensor:
    """Return one tensor of a state dict by the formula of the oracle's README."""
    import zlib

    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(like.shape))
    if key.endswith("num_batches_tracked"):
        return torch.zeros_like(like)
    if key.endswith("running_mean"):
        values = 0.1 * values
    elif key.endswith("running_var"):
        values = 1 + 0.1 * np.abs(values)
    elif like.ndim == 1:
        values = 1 + 0.1 * values if key.endswith("weight") else 0.1 * values
    else:
        values = values * np.sqrt(2 / np.prod(like.shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))
