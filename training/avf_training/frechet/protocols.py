"""The named protocols: which detector sees which input, and how the covariance is normalized.

styleganv   FVD of StyleGAN-V: its TorchScript I3D resizes and scales by itself; covariance over N
common      FVD of common_metrics with the same file: short side to 224, centre crop, -1 to 1; covariance over N - 1
videogpt    FVD of VideoGPT: I3D with i3d_pretrained_400.pt, short side to 224, centre crop; covariance over N - 1
cdfvd       FVD of cd-fvd with the same file: squashed to 224 x 224; covariance over N - 1
clean       FID and KID of clean-fid: TorchScript Inception of 2015-12-05, bicubic to 299; covariance over N - 1
avf         distance on an encoder of this program, for clips of talking faces; needs no file; covariance over N - 1
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from torch import Tensor

from avf_training.frechet.detector_folder import detector_file
from avf_training.frechet.detector_input import PixelArray, crop_short_side, resize_clean, squash, to_video
from avf_training.frechet.kinetics_network import load_kinetics_network

SampleKind = Literal["window", "picture", "clip"]
_OF_WEIGHTS = ("videogpt", "cdfvd")  # their files hold weights for a network of ours, the others whole networks


@dataclass(frozen=True, kw_only=True)
class FrechetProtocol:
    """How two sets are compared."""

    name: str
    sample: SampleKind  # what a feature is of: a window of a video, a picture, or a window of a clip
    ddof: int  # of the covariance
    detector: str  # file that its owners use; empty: an encoder of this program


FRECHET_PROTOCOLS: Mapping[str, FrechetProtocol] = {
    protocol.name: protocol
    for protocol in (
        FrechetProtocol(name="styleganv", sample="window", ddof=0, detector="i3d_torchscript.pt"),
        FrechetProtocol(name="common", sample="window", ddof=1, detector="i3d_torchscript.pt"),
        FrechetProtocol(name="videogpt", sample="window", ddof=1, detector="i3d_pretrained_400.pt"),
        FrechetProtocol(name="cdfvd", sample="window", ddof=1, detector="i3d_pretrained_400.pt"),
        FrechetProtocol(name="clean", sample="picture", ddof=1, detector="inception-2015-12-05.pt"),
        FrechetProtocol(name="avf", sample="clip", ddof=1, detector=""),
    )
}


class FrechetDetector:
    """A detector of the field from the file that its owners publish. Raises UserError for another file."""

    def __init__(self, protocol: FrechetProtocol, path: Path, device: str) -> None:
        path = detector_file(path, protocol.detector)
        if not path.is_file():
            raise UserError(f"{path}: no such file; protocol {protocol.name} needs {protocol.detector} of its owners")
        self.protocol, self.path, self.device = protocol, path, torch.device(device)
        self.sha256 = sha256_file(path)
        load: Callable[[Path, torch.device], Any] = (
            load_kinetics_network if protocol.name in _OF_WEIGHTS else _load_torchscript
        )
        self._module: Any = load(path, self.device)
        self._functions: Mapping[str, Callable[[Sequence[PixelArray]], Tensor]] = {
            "styleganv": self._styleganv,
            "common": self._common,
            "videogpt": partial(self._logits, crop_short_side),
            "cdfvd": partial(self._logits, squash),
            "clean": self._clean,
        }

    @torch.no_grad()
    def features(self, samples: Sequence[PixelArray]) -> Tensor:
        """Return the features (N, C) of pictures (H, W, 3) or of windows (T, H, W, 3), in float64 on the CPU."""
        try:
            features_NC = self._functions[self.protocol.name](samples)
        except torch.OutOfMemoryError:
            raise  # nothing is wrong with the file
        except (RuntimeError, AttributeError, TypeError, IndexError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:160]
            raise UserError(
                f"{self.path}: does not take the input of protocol {self.protocol.name} ({reason}); is it "
                f"{self.protocol.detector}?"
            ) from None
        if not isinstance(features_NC, Tensor):
            raise UserError(
                f"{self.path}: gives a {type(features_NC).__name__} and no tensor; is it {self.protocol.detector}?"
            )
        if features_NC.ndim != 2 or len(features_NC) != len(samples):
            raise UserError(
                f"{self.path}: gives features of shape {tuple(features_NC.shape)} for {len(samples)} samples; is it "
                f"{self.protocol.detector}?"
            )
        if not features_NC.isfinite().all():
            raise UserError(f"{self.path}: gives features that are no numbers; is it {self.protocol.detector}?")
        return features_NC.double().cpu()

    def _styleganv(self, windows: Sequence[PixelArray]) -> Tensor:
        videos = torch.stack([to_video(window).float() for window in windows]).to(self.device)
        features: Tensor = self._module(videos, rescale=True, resize=True, return_features=True)
        return features

    def _common(self, windows: Sequence[PixelArray]) -> Tensor:
        videos = torch.stack([crop_short_side(to_video(window)).float() for window in windows])
        features: Tensor = self._module(videos.to(self.device), rescale=False, resize=False, return_features=True)
        return features

    def _logits(self, prepare: Callable[[Tensor], Tensor], windows: Sequence[PixelArray]) -> Tensor:
        videos = torch.stack([prepare(to_video(window)).float() for window in windows])
        features: Tensor = self._module(videos.to(self.device))
        return features

    def _clean(self, pictures: Sequence[PixelArray]) -> Tensor:
        batch = torch.stack([resize_clean(picture) for picture in pictures]).to(self.device)
        features: Tensor = self._module.layers((batch - 128) / 128)
        return features.flatten(1)


def _load_torchscript(path: Path, device: torch.device) -> Any:
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise UserError(f"{path}: is no TorchScript file ({reason})") from None
