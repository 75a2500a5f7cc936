"""Settings of a model, checked before anything is built. Without torch, so that a recipe is read quickly.

Grids are (time, height, width) of video tubes and (time, frequency) of spectrogram patches.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

EncoderKind = Literal["vit", "lgi", "lgi_vanilla"]
FusionKind = Literal["cross", "iavcl"]
Modalities = Literal["av", "a", "v"]
HeadKind = Literal["linear", "detector"]
BatchNormStatistics = Literal["per_unit", "shared"]
InformationFlow = Literal["default", "raw_input", "video_first", "audio_first"]
Negatives = Literal["local", "all_ranks"]  # a clip's negatives: the other clips of its rank, or those of all ranks


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Model input: RGB frames cut into tubes, and log-mel energies cut into patches (AVF-MAE++ Table 5)."""

    frames: int = 16  # per clip
    size_px: int = 160  # height and width of a frame
    tube_frames: int = 2  # frames of a tube
    patch_px: int = 16  # height and width of a tube
    mel_frames: int = 256  # time steps of the spectrogram
    mels: int = 128  # mel bands
    mel_patch: int = 16  # mel frames and mel bands of a patch

    def __post_init__(self) -> None:
        for total, part in (
            ("frames", "tube_frames"),
            ("size_px", "patch_px"),
            ("mel_frames", "mel_patch"),
            ("mels", "mel_patch"),
        ):
            size, step = getattr(self, total), getattr(self, part)
            if size < 1 or step < 1 or size % step:
                raise ValueError(f"{total} {size} is not a multiple of {part} {step}")

    @property
    def video_grid(self) -> tuple[int, int, int]:
        """Tubes in time, height and width."""
        side = self.size_px // self.patch_px
        return self.frames // self.tube_frames, side, side

    @property
    def audio_grid(self) -> tuple[int, int]:
        """Patches in time and frequency."""
        return self.mel_frames // self.mel_patch, self.mels // self.mel_patch

    @property
    def video_tokens(self) -> int:
        """Tubes of one clip: 800 in the papers."""
        time, height, width = self.video_grid
        return time * height * width

    @property
    def audio_tokens(self) -> int:
        """Patches of one clip: 128 in the papers."""
        time, frequency = self.audio_grid
        return time * frequency

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip's video: (channels, frames, height, width)."""
        return 3, self.frames, self.size_px, self.size_px

    @property
    def audio_shape(self) -> tuple[int, int, int]:
        """Shape of one clip's audio: (1, mel frames, mels)."""
        return 1, self.mel_frames, self.mels

    @property
    def video_values(self) -> int:
        """Values of one tube: 3 x 2 x 16 x 16 = 1536 in the papers."""
        return 3 * self.tube_frames * self.patch_px**2

    @property
    def audio_values(self) -> int:
        """Values of one spectrogram patch: 256 in the papers."""
        return self.mel_patch**2


@dataclass(frozen=True, kw_only=True)
class ModalityConfig:
    """One modality: its encoder, and its decoder, which fine-tuning does not use."""

    width: int  # of the encoder
    depth: int  # layers of the encoder
    heads: int  # of the encoder
    decoder_width: int  # channels
    decoder_heads: int  # attention heads
    region: tuple[int, ...]  # tokens of an LGI region, (time, height, width) or (time, frequency); unused by `vit`
    decoder_depth: int = 4  # layers of the decoder


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """The targets that the decoders predict."""

    normalised: bool = True  # bring each patch to mean 0 and deviation 1, as in the papers; else the input's values
    frame_difference: bool = True  # replace every odd frame of a tube by its difference to the frame before


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A complete model. The fields from `information_flow` on are for the ablations of the papers."""

    name: str  # of the preset
    video: ModalityConfig  # video encoder and decoder
    audio: ModalityConfig  # audio encoder and decoder
    encoder: EncoderKind  # of both modalities
    fusion: FusionKind  # how the modalities attend to each other
    fusion_heads: int  # attention heads of the fusion
    # Encoder layers, first to last, that the last blocks of the decoder attend to and HCMCL compares.
    skips: tuple[int, ...]
    fusion_depth: int = 2  # layers of fusion `cross`, DiER units of fusion `iavcl`
    # Context of IAV-CL in pre-training: `pooled` has one token (the authors' code), `region` one token for each region,
    # as the paper's F_av in R^(K x 2C).
    fusion_context: Literal["pooled", "region"] = "pooled"
    # Running statistics of the batch norms that all DiER units share: of each unit, or one pair (the authors' code).
    batch_norm_statistics: BatchNormStatistics = "per_unit"
    modalities: Modalities = "av"  # one modality alone for comparisons
    mlp_ratio: int = 4  # hidden width of the feed-forward networks divided by the width
    norm_eps: float = 1e-6  # epsilon of the layer norms
    temperature: float = 0.07  # of HCMCL
    contrastive_weight: float = 0.0025  # of HCMCL in the loss: lambda in HiCMAE eq. 11
    geometry: Geometry = Geometry()  # frames, sizes and patches of the input
    targets: TargetConfig = TargetConfig()  # what the decoders predict
    information_flow: InformationFlow = "default"  # what the layers of fusion `cross` attend to (HiCMAE Figure 5)
    dier: bool = True  # False: HiCMAE's fusion blocks in place of the DiER units (AVF-MAE++ Table 21)
    hafe: bool = True  # False: no ER and no HAFE layer; the four means of HiCMAE's head (AVF-MAE++ Table 21)
    layer_fusion: bool = True  # False: fine-tuning reads the last layer alone (HiCMAE Table 13)

    def __post_init__(self) -> None:
        for name, modality, grid in (
            ("video", self.video, self.geometry.video_grid),
            ("audio", self.audio, self.geometry.audio_grid),
        ):
            self._check_modality(name, modality, grid)
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
            if self.fusion == "iavcl" and self.information_flow != "default":
                raise ValueError(f"information_flow {self.information_flow!r} is of fusion 'cross'")
        if list(self.skips) != sorted(set(self.skips)):
            raise ValueError(f"skips {list(self.skips)} must rise")
        if self.temperature <= 0:
            raise ValueError(f"temperature {self.temperature} must be positive")
        if self.fusion_context == "region" and self.encoder == "vit":
            raise ValueError("fusion_context 'region' needs an encoder with regions: 'lgi' or 'lgi_vanilla', not 'vit'")
        if self.modalities == "av" and self.fusion == "iavcl" and self.encoder != "vit":
            video, audio = (self.regions(name) for name in ("video", "audio"))
            if video != audio:
                raise ValueError(
                    f"video.region makes {video} regions and audio.region {audio}; IAV-CL pairs them one to one"
                )

    def _check_modality(self, name: str, modality: ModalityConfig, grid: tuple[int, ...]) -> None:
        if name[0] not in self.modalities:
            return
        if min(modality.depth, modality.decoder_depth, modality.width, modality.decoder_width) < 1:
            raise ValueError(f"{name}: depth, width, decoder_depth and decoder_width must be at least 1")
        _check_heads(f"{name}.heads", modality.heads, modality.width)
        _check_heads(f"{name}.decoder_heads", modality.decoder_heads, modality.decoder_width)
        for skip in self.skips:
            if not 0 <= skip < modality.depth:
                raise ValueError(f"skips: {skip} is no layer of {name}, whose layers are 0 to {modality.depth - 1}")
        if self.skips and modality.decoder_depth < len(self.skips):
            raise ValueError(
                f"{name}.decoder_depth {modality.decoder_depth} is too small for {len(self.skips)} skips, one per block"
            )
        if self.encoder != "vit":
            fits = len(modality.region) == len(grid) and all(
                part > 0 and size % part == 0 for size, part in zip(grid, modality.region, strict=True)
            )
            if not fits:
                raise ValueError(f"{name}.region {list(modality.region)} does not divide the token grid {list(grid)}")

    def modality(self, name: Literal["video", "audio"]) -> ModalityConfig:
        """Return the settings of one modality."""
        return self.video if name == "video" else self.audio

    def regions(self, name: Literal["video", "audio"]) -> int:
        """Return the number of LGI regions of one modality (K)."""
        grid = self.geometry.video_grid if name == "video" else self.geometry.audio_grid
        count = 1
        for size, part in zip(grid, self.modality(name).region, strict=True):
            count *= size // part
        return count


def _check_heads(field: str, heads: int, width: int) -> None:
    if heads < 1 or width % heads:
        fitting = [n for n in range(1, min(width, 64) + 1) if width % n == 0]
        raise ValueError(f"{field} {heads} does not divide the width {width}; these do: {fitting}")


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Number types of a training run."""

    compute: Literal["fp32", "fp16", "bf16"] = "bf16"  # of matrix products
    fp32_decoder: bool = True  # keep decoders and loss in fp32, as the paper; else one autocast covers everything
    tf32: bool = False  # allow TF32 for the products that stay fp32, on GPUs that have it

    def autocast(self, device_type: str) -> AbstractContextManager[object]:
        """Return the autocast for the model's forward pass; the loss is computed outside."""
        if self.compute == "fp32":
            return nullcontext()
        import torch  # here, so that a recipe is read without it

        return torch.autocast(device_type, {"fp16": torch.float16, "bf16": torch.bfloat16}[self.compute])
