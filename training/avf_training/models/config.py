"""What a model is made of, checked before anything is built.

Grids are (time, height, width) of video tubes and (time, frequency) of spectrogram patches.
"""

from dataclasses import dataclass
from typing import Literal

EncoderKind = Literal["vit", "lgi", "lgi_vanilla"]
FusionKind = Literal["cross", "iavcl"]
Modalities = Literal["av", "a", "v"]
Statistics = Literal["per_unit", "shared"]
Flow = Literal["default", "raw_input", "video_first", "audio_first"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Model input: `frames` RGB frames of size_px x size_px in tubes, and mel_frames x mels of log-mel in patches."""

    frames: int = 16
    size_px: int = 160
    tube_frames: int = 2
    patch_px: int = 16
    mel_frames: int = 256
    mels: int = 128
    mel_patch: int = 16

    def __post_init__(self) -> None:
        for whole, part in (
            ("frames", "tube_frames"),
            ("size_px", "patch_px"),
            ("mel_frames", "mel_patch"),
            ("mels", "mel_patch"),
        ):
            size, step = getattr(self, whole), getattr(self, part)
            if size < 1 or step < 1 or size % step:
                raise ValueError(f"{whole} {size} is not a multiple of {part} {step}")

    @property
    def video_grid(self) -> tuple[int, int, int]:
        side = self.size_px // self.patch_px
        return self.frames // self.tube_frames, side, side

    @property
    def audio_grid(self) -> tuple[int, int]:
        return self.mel_frames // self.mel_patch, self.mels // self.mel_patch

    @property
    def video_tokens(self) -> int:
        time, height, width = self.video_grid
        return time * height * width

    @property
    def audio_tokens(self) -> int:
        time, frequency = self.audio_grid
        return time * frequency

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """(channels, frames, height, width) of one clip."""
        return 3, self.frames, self.size_px, self.size_px

    @property
    def audio_shape(self) -> tuple[int, int, int]:
        """(1, mel frames, mels) of one clip."""
        return 1, self.mel_frames, self.mels

    @property
    def video_values(self) -> int:
        """Numbers in one tube: 3 x 2 x 16 x 16 = 1536 in the papers."""
        return 3 * self.tube_frames * self.patch_px**2

    @property
    def audio_values(self) -> int:
        """Numbers in one spectrogram patch: 256 in the papers."""
        return self.mel_patch**2


@dataclass(frozen=True, kw_only=True)
class ModalityConfig:
    """One modality: its encoder of `depth` layers, and its decoder (unused in fine-tuning).

    region: size of an LGI region in tokens, (time, height, width) or (time, frequency); unused by `vit`.
    """

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_heads: int
    region: tuple[int, ...]
    decoder_depth: int = 4


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """What the decoders predict. normalised: each patch brought to mean 0 and deviation 1, as the papers have it, or as
    the model's input has it. frame_difference: every odd frame of a tube as its difference to the one before.
    """

    normalised: bool = True
    frame_difference: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole model. skips: encoder layers, first to last, that the decoder's last blocks attend to and HCMCL compares.

    overall: the context of IAV-CL in pre-training: `pooled` (one token, the authors' code) or `region` (one token for
    each region, as the paper's F_av in R^(K x 2C) has it). statistics: running statistics of the batch norms that all
    DiER units share: of each unit, or one for all (`shared`, the authors' code).

    For ablations. flow: what the layers of fusion `cross` attend to (HiCMAE Figure 5). dier, hafe: False puts HiCMAE's
    parts in their place (AVF-MAE++ Table 21). layer_fusion: False fine-tunes on the last layer alone (HiCMAE Table 13).
    """

    name: str
    video: ModalityConfig
    audio: ModalityConfig
    encoder: EncoderKind
    fusion: FusionKind
    fusion_heads: int
    skips: tuple[int, ...]
    fusion_depth: int = 2
    overall: Literal["pooled", "region"] = "pooled"
    statistics: Statistics = "per_unit"
    modalities: Modalities = "av"
    mlp_ratio: int = 4
    norm_eps: float = 1e-6
    temperature: float = 0.07
    contrastive_weight: float = 0.0025
    geometry: Geometry = Geometry()
    targets: TargetConfig = TargetConfig()
    flow: Flow = "default"
    dier: bool = True
    hafe: bool = True
    layer_fusion: bool = True

    def __post_init__(self) -> None:
        for name, stream, grid in (
            ("video", self.video, self.geometry.video_grid),
            ("audio", self.audio, self.geometry.audio_grid),
        ):
            self._check_modality(name, stream, grid)
        if self.modalities == "av":
            if self.video.width != self.audio.width:
                raise ValueError(
                    f"audio.width {self.audio.width} differs from video.width {self.video.width}; "
                    "fusion needs one width"
                )
            _check_heads("fusion_heads", self.fusion_heads, self.video.width)
            if self.fusion_depth < (0 if self.fusion == "cross" else 1):
                raise ValueError(f"fusion_depth {self.fusion_depth} is too small for fusion {self.fusion!r}")
            if self.fusion == "cross" and not (self.dier and self.hafe):
                raise ValueError("dier and hafe are parts of fusion 'iavcl'; fusion 'cross' has neither")
            if self.fusion == "iavcl" and self.flow != "default":
                raise ValueError(f"flow {self.flow!r} is of fusion 'cross'")
        if list(self.skips) != sorted(set(self.skips)):
            raise ValueError(f"skips {list(self.skips)} must rise")
        if self.temperature <= 0:
            raise ValueError(f"temperature {self.temperature} must be positive")
        if self.overall == "region" and self.encoder == "vit":
            raise ValueError("overall 'region' needs an encoder with regions: 'lgi' or 'lgi_vanilla', not 'vit'")
        if self.modalities == "av" and self.fusion == "iavcl" and self.encoder != "vit":
            video, audio = (self.regions(name) for name in ("video", "audio"))
            if video != audio:
                raise ValueError(
                    f"video.region makes {video} regions and audio.region {audio}; IAV-CL pairs them one to one"
                )

    def _check_modality(self, name: str, stream: ModalityConfig, grid: tuple[int, ...]) -> None:
        if name[0] not in self.modalities:
            return
        if min(stream.depth, stream.decoder_depth, stream.width, stream.decoder_width) < 1:
            raise ValueError(f"{name}: depth, width, decoder_depth and decoder_width must be at least 1")
        _check_heads(f"{name}.heads", stream.heads, stream.width)
        _check_heads(f"{name}.decoder_heads", stream.decoder_heads, stream.decoder_width)
        for skip in self.skips:
            if not 0 <= skip < stream.depth:
                raise ValueError(f"skips: {skip} is no layer of {name}, whose layers are 0 to {stream.depth - 1}")
        if self.skips and stream.decoder_depth < len(self.skips):
            raise ValueError(
                f"{name}.decoder_depth {stream.decoder_depth} is too small for {len(self.skips)} skips, one per block"
            )
        if self.encoder != "vit":
            fits = len(stream.region) == len(grid) and all(
                part > 0 and whole % part == 0 for whole, part in zip(grid, stream.region, strict=True)
            )
            if not fits:
                raise ValueError(f"{name}.region {list(stream.region)} does not divide the token grid {list(grid)}")

    def modality(self, name: Literal["video", "audio"]) -> ModalityConfig:
        return self.video if name == "video" else self.audio

    def regions(self, name: Literal["video", "audio"]) -> int:
        """Number of LGI regions of one modality (K)."""
        grid = self.geometry.video_grid if name == "video" else self.geometry.audio_grid
        count = 1
        for whole, part in zip(grid, self.modality(name).region, strict=True):
            count *= whole // part
        return count


def _check_heads(field: str, heads: int, width: int) -> None:
    if heads < 1 or width % heads:
        fitting = [n for n in range(1, min(width, 64) + 1) if width % n == 0]
        raise ValueError(f"{field} {heads} does not divide the width {width}; these do: {fitting}")
