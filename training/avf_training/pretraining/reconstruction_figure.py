"""The figure of a reconstruction: target, masked input, output of the network and restored output (AVF-MAE++ Fig. 5).

Models predict patches of mean 0 and deviation 1. Figures usually restore the mean and the deviation of the true patch,
which the model did not predict: such a row looks good even where the network knows nothing. So the figure shows the
output as it is too, and says where its error is above that of predicting each patch's mean.

Shapes: B batch, N tokens, P values of a patch, T frames, H W frame size, M mel frames, F mels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.format.index import ShardReader
from torch import Tensor

from avf_training.data.clip import decode_clip
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import window_frames
from avf_training.models.config import Geometry, TargetConfig
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig, Masker
from avf_training.models.masks import Masks
from avf_training.models.patch_embed import audio_patches, video_patches
from avf_training.models.presets import preset
from avf_training.objectives.targets import audio_targets, video_targets
from avf_training.trainer.figures import DPI, WIDTH_IN, load_pyplot, wrap_text

_EPS = 1e-6
_NAME_CHARACTERS = 54  # of the heading that fit into the width of the figure, where all of them are digits
_TITLE_CHARACTERS = 75  # of a row's title, which is a sentence
_FRAMES = 4  # of a clip in the figure: more are too small on a phone


@dataclass(frozen=True, kw_only=True)
class ReconstructedClip:
    """One clip reconstructed at one pair of mask ratios."""

    video_ratio: float  # share of the video tokens that is masked
    audio_ratio: float  # share of the audio tokens that is masked
    video: npt.NDArray[np.float32]  # (T, H, W, 3) in [0, 1]
    video_visible: npt.NDArray[np.float32]  # input of the encoder; nan where masked
    video_raw: npt.NDArray[np.float32]  # the output, 3 deviations to each side of 0 as [0, 1]; nan where not masked
    video_filled: npt.NDArray[np.float32]  # the reconstruction where masked, the original elsewhere
    audio: npt.NDArray[np.float32]  # (M, F), normalized log-mel
    audio_visible: npt.NDArray[np.float32]  # nan where masked
    audio_raw: npt.NDArray[np.float32]  # the output as it is; nan where not masked
    audio_filled: npt.NDArray[np.float32]  # the reconstruction where masked, the original elsewhere
    video_error_ratio: float  # squared error of masked patches by that of predicting each patch's mean
    audio_error_ratio: float  # the same of the spectrogram

    @property
    def worse(self) -> list[str]:
        """The modalities that are reconstructed worse than by the mean picture: each patch in its own mean."""
        ratios = {"video": self.video_error_ratio, "sound": self.audio_error_ratio}
        return [name for name, ratio in ratios.items() if ratio > 1]

    @property
    def verdict(self) -> str:
        """A sentence that says how the errors compare with those of the mean picture."""
        words = "better" if not self.worse else "worse" if len(self.worse) == 2 else f"{self.worse[0]} worse"
        ratios = f"video {self.video_error_ratio:.2f}, sound {self.audio_error_ratio:.2f}"
        return f"{words} than the mean picture: {ratios} times its error"


@torch.no_grad()
def reconstruct_clip(
    model: MaskedAutoencoder, video_BCTHW: Tensor, audio_B1MF: Tensor, ratios: MaskConfig, seed: int
) -> ReconstructedClip:
    """Mask the clip of a batch of one, reconstruct all masked tokens, and undo the normalization of the targets.

    Where the model predicts patches of mean 0 and deviation 1, the mean and deviation of the true patch are restored,
    as is usual in such figures.
    """
    geometry = model.config.geometry
    # In training the decoder skips some masked tokens; here it reconstructs all, so that the figure has no holes.
    all_decoded = replace(ratios, decoder_ratio=0.0)
    clip = Masker(model.config, all_decoded).sample(np.random.default_rng(seed))
    masks = Masks.stack([clip], video_BCTHW.device)
    out = model.eval()(video_BCTHW, audio_B1MF, masks)
    assert out.video_BMP is not None
    assert out.audio_BMP is not None
    video_BMP, audio_BMP, video_BCTHW, audio_B1MF = (
        x.float().cpu() for x in (out.video_BMP, out.audio_BMP, video_BCTHW, audio_B1MF)
    )
    std, mean = (video_BCTHW.new_tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGE_STD, IMAGE_MEAN))
    video_BNP = video_patches(video_BCTHW * std + mean, geometry, torch.arange(geometry.video_tokens)[None])
    audio_BNP = audio_patches(audio_B1MF, geometry, torch.arange(geometry.audio_tokens)[None])
    targets = model.config.targets
    video = _pixels(video_BMP, video_BNP[:, clip.video.target_M], geometry, targets)
    video_raw = _raw_pixels(video_BMP, geometry, targets) if targets.normalised else video
    audio = audio_BMP
    if targets.normalised:
        audio = _denormalize(audio, audio_BNP[:, clip.audio.target_M])
    return ReconstructedClip(
        video_ratio=ratios.video_ratio,
        audio_ratio=ratios.audio_ratio,
        video=_to_frames(video_BNP, geometry),
        video_visible=_to_frames(
            _fill_masked(video_BNP, clip.video.target_M, torch.full_like(video, torch.nan)), geometry
        ),
        video_raw=_to_frames(
            _fill_masked(torch.full_like(video_BNP, torch.nan), clip.video.target_M, video_raw), geometry
        ),
        video_filled=_to_frames(_fill_masked(video_BNP, clip.video.target_M, video), geometry),
        audio=_to_spectrogram(audio_BNP, geometry),
        audio_visible=_to_spectrogram(
            _fill_masked(audio_BNP, clip.audio.target_M, torch.full_like(audio, torch.nan)), geometry
        ),
        audio_raw=_to_spectrogram(
            _fill_masked(torch.full_like(audio_BNP, torch.nan), clip.audio.target_M, audio_BMP), geometry
        ),
        audio_filled=_to_spectrogram(_fill_masked(audio_BNP, clip.audio.target_M, audio), geometry),
        video_error_ratio=_error_ratio(
            video_BMP,
            video_targets(video_BCTHW, torch.from_numpy(clip.video.target_M)[None], geometry, targets),
            channels=3,
        ),
        audio_error_ratio=_error_ratio(
            audio_BMP,
            audio_targets(audio_B1MF, torch.from_numpy(clip.audio.target_M)[None], geometry, targets),
            channels=1,
        ),
    )


def _error_ratio(predicted_BMP: Tensor, target_BMP: Tensor, channels: int) -> float:
    """Return the squared error of the output by that of the mean of each patch and colour channel.

    Values of a patch are ordered by pixel, then by channel.
    """
    flat_BMP = target_BMP.unflatten(-1, (-1, channels)).mean(-2, keepdim=True).expand(-1, -1, -1, channels)
    error = (predicted_BMP - target_BMP).square().mean()
    mean_error = (target_BMP.unflatten(-1, (-1, channels)) - flat_BMP).square().mean()
    return float(error / mean_error)


def _raw_pixels(predicted_BMP: Tensor, geometry: Geometry, targets: TargetConfig) -> Tensor:
    """Return the output as patches laid out as in `video_patches`, with -3, 0 and 3 deviations as 0, 0.5 and 1."""
    return (_cube(predicted_BMP, geometry, targets) / 6 + 0.5).flatten(-2).flatten(-2)


def _pixels(predicted_BMP: Tensor, true_BMP: Tensor, geometry: Geometry, targets: TargetConfig) -> Tensor:
    """Return predictions, laid out as (frame, pixel, channel), as patches of pixels laid out as in `video_patches`."""
    cube = _cube(predicted_BMP, geometry, targets)
    if targets.normalised:
        return _denormalize(cube.flatten(-2), true_BMP.unflatten(-1, (3, -1))).flatten(-2)
    std_C1, mean_C1 = (cube.new_tensor(value)[:, None] for value in (IMAGE_STD, IMAGE_MEAN))
    return (cube.flatten(-2) * std_C1 + mean_C1).flatten(-2)


def _cube(predicted_BMP: Tensor, geometry: Geometry, targets: TargetConfig) -> Tensor:
    """Return predictions, laid out as (frame, pixel, channel), as (channel, frame, pixel), differences added up."""
    cube: Tensor = predicted_BMP.unflatten(-1, (geometry.tube_frames, geometry.patch_px**2, 3)).permute(0, 1, 4, 2, 3)
    if targets.frame_difference:
        even, odd = cube[..., 0::2, :], cube[..., 1::2, :]
        # Odd frames are predicted as the difference from the frame before; see objectives/targets.py.
        cube = torch.stack((even, even + odd), -2).flatten(-3, -2)
    return cube


def _denormalize(predicted: Tensor, true: Tensor) -> Tensor:
    variance, mean = torch.var_mean(true, -1, keepdim=True)
    return predicted * (variance.sqrt() + _EPS) + mean


def _fill_masked(patches_BNP: Tensor, target_M: npt.NDArray[np.int64], values_BMP: Tensor) -> Tensor:
    filled = patches_BNP.clone()
    filled[:, torch.from_numpy(target_M)] = values_BMP
    return filled


def _to_frames(patches_BNP: Tensor, geometry: Geometry) -> npt.NDArray[np.float32]:
    time, height, width = geometry.video_grid
    t, p = geometry.tube_frames, geometry.patch_px
    cut = patches_BNP[0].reshape(time, height, width, 3, t, p, p).permute(0, 4, 1, 5, 2, 6, 3)
    return cut.reshape(time * t, height * p, width * p, 3).clamp(0, 1).numpy()


def _to_spectrogram(patches_BNP: Tensor, geometry: Geometry) -> npt.NDArray[np.float32]:
    time, frequency = geometry.audio_grid
    p = geometry.mel_patch
    cut = patches_BNP[0].reshape(time, frequency, p, p).permute(0, 2, 1, 3)
    return cut.reshape(time * p, frequency * p).numpy()


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of the figure."""

    title: str  # above the row
    frames: npt.NDArray[np.float32]  # (T, H, W, 3) in [0, 1]; nan is drawn as background
    mel: npt.NDArray[np.float32]  # (M, F); nan is drawn as background
    mel_range: tuple[float, float]  # values of the darkest and the brightest colour


def draw_reconstruction(path: Path, clips: list[ReconstructedClip], title: str, restored: bool) -> None:
    """Write the figure: the target on top, then for each pair of ratios masked input, raw output, restored output.

    Args:
        restored: whether the model predicts normalised patches, so that the raw output differs from the restored one.
    """
    pyplot = load_pyplot()

    rows = _rows(clips, restored)
    shown = np.linspace(0, len(clips[0].video) - 1, _FRAMES).round().astype(int)
    widths = [1.0] * len(shown) + [1.6]
    height = WIDTH_IN / sum(widths) + 0.32
    comparison = "worse" if any(clip.worse for clip in clips) else "better"
    subtitle = f"{comparison} than the mean picture (each patch in its own mean)"
    heading = wrap_text(f"{title}\n{subtitle}", _NAME_CHARACTERS)
    height_in = height * len(rows) + 0.2 * (heading.count("\n") + 2) + 0.16 * len(clips)
    figure = pyplot.figure(figsize=(WIDTH_IN, height_in))
    figure.suptitle(heading, fontsize=11, x=0.01, ha="left")
    for part, row in zip(np.atleast_1d(figure.subfigures(len(rows), 1)), rows, strict=True):
        part.suptitle(wrap_text(row.title, _TITLE_CHARACTERS), fontsize=10, x=0.01, ha="left")
        axes = part.subplots(1, len(widths), gridspec_kw={"width_ratios": widths})
        for axis, index in zip(axes, shown, strict=False):
            axis.imshow(np.where(np.isnan(row.frames[index]), 0.85, row.frames[index]))
        low, high = row.mel_range
        axes[-1].imshow(row.mel.T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma")
        axes[-1].set_facecolor("0.85")
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def _rows(clips: Sequence[ReconstructedClip], restored: bool) -> list[_Row]:
    # One scale for all rows but the raw ones, so that brightness compares; percentiles, so that a few extreme bins do
    # not decide it.
    low, high = (float(value) for value in np.nanpercentile(clips[0].audio, [1, 99]))
    rows = [_Row(title="target", frames=clips[0].video, mel=clips[0].audio, mel_range=(low, high))]
    for clip in clips:
        ratios = f"{100 * clip.video_ratio:.4g} % of video, {100 * clip.audio_ratio:.4g} % of sound hidden"
        masked = f"masked input: {ratios}"
        rows.append(_Row(title=masked, frames=clip.video_visible, mel=clip.audio_visible, mel_range=(low, high)))
        if restored:
            raw = "raw network output (each patch has mean 0, deviation 1)"
            rows.append(_Row(title=raw, frames=clip.video_raw, mel=clip.audio_raw, mel_range=(-3, 3)))
        output = "output with each patch's true mean and deviation" if restored else "network output"
        title = f"{output}\n{clip.verdict}"
        rows.append(_Row(title=title, frames=clip.video_filled, mel=clip.audio_filled, mel_range=(low, high)))
    return rows


@dataclass(frozen=True, kw_only=True)
class ReconstructionRequest:
    """A request for a figure: the model and the masking ratios."""

    model: Path | None  # saved model; None: an untrained model
    preset: str  # size of the untrained model
    ratios: str  # video:sound,video:sound
    all_must_fit: bool  # refuse ratios that the model's regions do not fit; otherwise skip them
    seed: int  # of the masks, and of an untrained model's weights


class Reconstructor:
    """A model that reconstructs stored clips at several mask ratios. Raises UserError for a model that cannot."""

    def __init__(self, request: ReconstructionRequest) -> None:
        self.request, self.pairs = request, _parse_ratios(request.ratios)
        if request.model is not None:
            self.model, self.title = MaskedAutoencoder.from_pretrained(request.model), str(request.model)
        else:
            torch.manual_seed(request.seed)
            self.model, self.title = MaskedAutoencoder(preset(request.preset)), f"{request.preset}, untrained"
        modalities = self.model.config.modalities
        if modalities != "av":
            raise UserError(f"{self.title}: takes {modalities!r} alone; the figure needs a model of both modalities")

    def draw(self, shards: Path, key: str | None, out: Path) -> list[str]:
        """Reconstruct one stored clip, the first where `key` is None, write the figure, return a sentence a ratio pair.

        Raises UserError, FaultError.
        """
        key, video, audio = _read_clip(shards, key, self.model.config.geometry)
        clips = []
        for video_ratio, audio_ratio in self.pairs:
            try:
                masks = MaskConfig(video_ratio=video_ratio, audio_ratio=audio_ratio, decoder_ratio=0.0)
                clips.append(reconstruct_clip(self.model, video, audio, masks, self.request.seed))
            except ValueError as error:
                if not self.request.all_must_fit:
                    continue
                raise UserError(f"--ratios {video_ratio:g}:{audio_ratio:g}: {error}") from None
        draw_reconstruction(out, clips, f"{key}\n{self.title}", self.model.config.targets.normalised)
        return [f"video {clip.video_ratio:g}, sound {clip.audio_ratio:g} hidden: {clip.verdict}" for clip in clips]


def _parse_ratios(text: str) -> list[tuple[float, float]]:
    try:
        pairs = [tuple(float(part) for part in pair.split(":")) for pair in text.split(",")]
        return [(video, audio) for video, audio in pairs]
    except ValueError:
        raise UserError(f"--ratios {text}: must look like 0.8:0.75,0.9:0.8125 (video:sound)") from None


def _read_clip(shards: Path, key: str | None, geometry: Geometry) -> tuple[str, Tensor, Tensor]:
    """Return (key, video, audio) of one clip of a folder of shards, as input of the model. Raises UserError."""
    tars = sorted(shards.glob("*.tar"))
    if not tars:
        raise UserError(f"{shards}: holds no shards (*.tar); `avf-shards pack RUN --out {shards}` makes them")
    for tar in tars:
        with ShardReader(tar) as reader:
            members = reader.index.by_key()
            chosen = key or next(iter(members), None)
            if chosen not in members:
                continue
            files = {kind: reader.read(member) for kind, member in members[chosen].items()}
            return chosen, *_first_window(files, geometry)
    raise UserError(f"{shards}: has no clip {key!r}; `avf-shards ls {shards} --keys` lists them")


def _first_window(files: dict[str, bytes], geometry: Geometry) -> tuple[Tensor, Tensor]:
    clip = decode_clip(
        files, lambda total: _FirstWindow(frames=window_frames(0, geometry.frames, total)), geometry.frames * STRIDE
    )
    planes_1TQW, sound_1S = torch.from_numpy(clip.planes_TQW)[None], torch.from_numpy(clip.waveform_S)[None]
    size_px = planes_1TQW.shape[-1]
    full_frame_14 = torch.tensor([[0, 0, size_px, size_px]])
    video = video_input(planes_1TQW, torch.tensor([clip.full_range]), full_frame_14, geometry)
    return video, audio_input(sound_1S, torch.tensor([sound_1S.shape[1]]), torch.ones(1), geometry)


@dataclass(frozen=True, kw_only=True)
class _FirstWindow:
    """The first window of a clip."""

    frames: list[int]  # indices of the frames that are decoded
    start_frame: int = 0  # frame at which the audio begins
