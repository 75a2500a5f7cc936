"""The figure of a reconstruction: target, masked input, output of the network and restored output (AVF-MAE++ Fig. 5).

Models predict patches of mean 0 and deviation 1. Figures usually restore the mean and the deviation of the true patch,
which the model did not predict: such a row looks good even where the network knows nothing. So the figure shows the
output as it is too, and says where its error is above that of predicting each patch's mean.

Shapes: B batch, N tokens, P values of a patch, T frames, H W frame size, M mel frames, F mels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.format.index import ShardReader
from avf_shards.system.storage_faults import name_path
from avf_shards.text import shell_word
from torch import Tensor

from avf_training.data.clip import decode_clip
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import window_frames
from avf_training.models.config import Geometry, ModelConfig, TargetConfig
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig, Masker, ModalityMask
from avf_training.models.masks import Masks
from avf_training.models.patch_embed import audio_patches, video_patches
from avf_training.models.presets import preset
from avf_training.objectives.targets import audio_targets, video_targets
from avf_training.trainer.figures import WIDTH_IN, load_pyplot, save_figure, wrap_text

_EPS = 1e-6
_NAME_CHARACTERS = 54  # of the heading that fit into the width of the figure, where all of them are digits
_TITLE_CHARACTERS = 75  # of a row's title, which is a sentence
_FRAMES = 4  # of a clip in the figure: more are too small on a phone


@dataclass(frozen=True, kw_only=True)
class ReconstructedPart:
    """One modality of a clip, reconstructed: frames (T, H, W, 3) in [0, 1], or the normalized log-mel (M, F)."""

    ratio: float  # share of the tokens that is masked
    original: npt.NDArray[np.float32]
    visible: npt.NDArray[np.float32]  # input of the encoder; nan where masked
    # The output as it is, of frames with 3 deviations to each side of 0 as [0, 1]; nan where not masked.
    raw: npt.NDArray[np.float32]
    filled: npt.NDArray[np.float32]  # the reconstruction where masked, the original elsewhere
    error_ratio: float  # squared error of masked patches by that of predicting each patch's mean


@dataclass(frozen=True, kw_only=True)
class ReconstructedClip:
    """One clip reconstructed at one pair of mask ratios; a modality that the model lacks is None."""

    video: ReconstructedPart | None
    audio: ReconstructedPart | None

    @property
    def parts(self) -> dict[str, ReconstructedPart]:
        """The parts that there are, by the names that readers see."""
        return {name: part for name, part in (("video", self.video), ("sound", self.audio)) if part is not None}

    @property
    def worse(self) -> list[str]:
        """The modalities that are reconstructed worse than by filling each hidden patch with its own mean."""
        return [name for name, part in self.parts.items() if part.error_ratio > 1]

    @property
    def verdict(self) -> str:
        """A sentence that says how the errors compare with those of each patch's own mean."""
        ratios = ", ".join(f"{name} {part.error_ratio:.2f}" for name, part in self.parts.items())
        return f"{_compare_with_patch_means(self.worse, self.parts)}: {ratios} times their error"


@torch.no_grad()
def reconstruct_clip(
    model: MaskedAutoencoder, video_BCTHW: Tensor | None, audio_B1MF: Tensor | None, ratios: MaskConfig, seed: int
) -> ReconstructedClip:
    """Mask the clip of a batch of one, reconstruct all masked tokens, and undo the normalization of the targets.

    Where the model predicts patches of mean 0 and deviation 1, the mean and deviation of the true patch are restored,
    as is usual in such figures. A modality that the model lacks is None.
    """
    # In training the decoder skips some masked tokens; here it reconstructs all, so that the figure has no holes.
    all_decoded = replace(ratios, decoder_ratio=0.0)
    clip = Masker(model.config, all_decoded).sample(np.random.default_rng(seed))
    device = next(model.parameters()).device
    out = model.eval()(video_BCTHW, audio_B1MF, Masks.stack([clip], device))
    video = audio = None
    if out.video_BMP is not None and video_BCTHW is not None:
        predicted_BMP, clips = out.video_BMP.float().cpu(), video_BCTHW.float().cpu()
        video = _video_part(predicted_BMP, clips, clip.video, model.config, ratios.video_ratio)
    if out.audio_BMP is not None and audio_B1MF is not None:
        predicted_BMP, clips = out.audio_BMP.float().cpu(), audio_B1MF.float().cpu()
        audio = _audio_part(predicted_BMP, clips, clip.audio, model.config, ratios.audio_ratio)
    return ReconstructedClip(video=video, audio=audio)


def _video_part(
    predicted_BMP: Tensor, video_BCTHW: Tensor, mask: ModalityMask, config: ModelConfig, ratio: float
) -> ReconstructedPart:
    geometry, targets = config.geometry, config.targets
    std, mean = (video_BCTHW.new_tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGE_STD, IMAGE_MEAN))
    all_BNP = video_patches(video_BCTHW * std + mean, geometry, torch.arange(geometry.video_tokens)[None])
    restored_BMP = _pixels(predicted_BMP, all_BNP[:, mask.target_M], geometry, targets)
    raw_BMP = _raw_pixels(predicted_BMP, geometry, targets) if targets.normalised else restored_BMP
    true_BMP = video_targets(video_BCTHW, torch.from_numpy(mask.target_M)[None], geometry, targets)
    return ReconstructedPart(
        ratio=ratio,
        original=_to_frames(all_BNP, geometry),
        visible=_to_frames(_fill_masked(all_BNP, mask.target_M, torch.full_like(restored_BMP, torch.nan)), geometry),
        raw=_to_frames(_fill_masked(torch.full_like(all_BNP, torch.nan), mask.target_M, raw_BMP), geometry),
        filled=_to_frames(_fill_masked(all_BNP, mask.target_M, restored_BMP), geometry),
        error_ratio=_error_ratio(predicted_BMP, true_BMP, channels=3),
    )


def _audio_part(
    predicted_BMP: Tensor, audio_B1MF: Tensor, mask: ModalityMask, config: ModelConfig, ratio: float
) -> ReconstructedPart:
    geometry, targets = config.geometry, config.targets
    all_BNP = audio_patches(audio_B1MF, geometry, torch.arange(geometry.audio_tokens)[None])
    restored_BMP = predicted_BMP
    if targets.normalised:
        restored_BMP = _denormalize(predicted_BMP, all_BNP[:, mask.target_M])
    true_BMP = audio_targets(audio_B1MF, torch.from_numpy(mask.target_M)[None], geometry, targets)
    hidden_BMP = torch.full_like(restored_BMP, torch.nan)
    return ReconstructedPart(
        ratio=ratio,
        original=_to_spectrogram(all_BNP, geometry),
        visible=_to_spectrogram(_fill_masked(all_BNP, mask.target_M, hidden_BMP), geometry),
        raw=_to_spectrogram(_fill_masked(torch.full_like(all_BNP, torch.nan), mask.target_M, predicted_BMP), geometry),
        filled=_to_spectrogram(_fill_masked(all_BNP, mask.target_M, restored_BMP), geometry),
        error_ratio=_error_ratio(predicted_BMP, true_BMP, channels=1),
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
    """A row of the figure; a modality that the model lacks is None. nan is drawn as background."""

    title: str  # above the row
    frames: npt.NDArray[np.float32] | None  # (T, H, W, 3) in [0, 1]
    mel: npt.NDArray[np.float32] | None  # (M, F)
    mel_range: tuple[float, float]  # values of the darkest and the brightest colour


def draw_reconstruction(path: Path, clips: list[ReconstructedClip], title: str, restored: bool) -> None:
    """Write the figure: the target on top, then for each pair of ratios masked input, raw output, restored output.

    Args:
        restored: whether the model predicts normalised patches, so that the raw output differs from the restored one.
    """
    pyplot = load_pyplot()

    rows, video = _rows(clips, restored), clips[0].video
    shown = [] if video is None else np.linspace(0, len(video.original) - 1, _FRAMES).round().astype(int).tolist()
    widths = [1.0] * len(shown) + [1.6] * (clips[0].audio is not None)
    height = WIDTH_IN / max(sum(widths), _FRAMES) + 0.32
    heading = wrap_text(f"{title}\n{_describe_all(clips)}", _NAME_CHARACTERS)
    height_in = height * len(rows) + 0.2 * (heading.count("\n") + 2) + 0.16 * len(clips)
    figure = pyplot.figure(figsize=(WIDTH_IN, height_in))
    figure.suptitle(heading, fontsize=11, x=0.01, ha="left")
    for part, row in zip(np.atleast_1d(figure.subfigures(len(rows), 1)), rows, strict=True):
        part.suptitle(wrap_text(row.title, _TITLE_CHARACTERS), fontsize=10, x=0.01, ha="left")
        axes = np.atleast_1d(part.subplots(1, len(widths), gridspec_kw={"width_ratios": widths}))
        if row.frames is not None:
            for axis, index in zip(axes, shown, strict=False):
                axis.imshow(np.where(np.isnan(row.frames[index]), 0.85, row.frames[index]))
        if row.mel is not None:
            low, high = row.mel_range
            axes[-1].imshow(row.mel.T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma")
            axes[-1].set_facecolor("0.85")
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    with name_path(path):
        save_figure(figure, path, path.suffix)
    pyplot.close(figure)


def _describe_all(clips: Sequence[ReconstructedClip]) -> str:
    """Return a line that says which modalities are worse than their patches' means at any pair of ratios."""
    names = clips[0].parts
    worse = [name for name in names if any(name in clip.worse for clip in clips)]
    return f"{_compare_with_patch_means(worse, names)} (each patch filled with its own mean)"


def _compare_with_patch_means(worse: Sequence[str], modalities: Collection[str]) -> str:
    words = "better" if not worse else "worse" if len(worse) == len(modalities) else f"{worse[0]} worse"
    return f"{words} than patch means"


def _rows(clips: Sequence[ReconstructedClip], restored: bool) -> list[_Row]:
    # One scale for all rows but the raw ones, so that brightness compares; percentiles, so that a few extreme bins do
    # not decide it.
    audio = clips[0].audio
    low, high = (0.0, 1.0) if audio is None else (float(v) for v in np.nanpercentile(audio.original, [1, 99]))

    def row(title: str, clip: ReconstructedClip, name: str, mel_range: tuple[float, float] = (low, high)) -> _Row:
        frames, mel = (None if part is None else getattr(part, name) for part in (clip.video, clip.audio))
        return _Row(title=title, frames=frames, mel=mel, mel_range=mel_range)

    rows = [row("target", clips[0], "original")]
    for clip in clips:
        ratios = ", ".join(f"{100 * part.ratio:.4g} % of {name}" for name, part in clip.parts.items())
        rows.append(row(f"masked input: {ratios} hidden", clip, "visible"))
        if restored:
            rows.append(row("raw network output (each patch has mean 0, deviation 1)", clip, "raw", (-3, 3)))
        output = "output with each patch's true mean and deviation" if restored else "network output"
        rows.append(row(f"{output}\n{clip.verdict}", clip, "filled"))
    return rows


@dataclass(frozen=True, kw_only=True)
class ReconstructionRequest:
    """A request for a figure: the model and the masking ratios."""

    model: Path | None  # saved model; None: an untrained model
    preset: str  # size of the untrained model
    ratios: Sequence[MaskConfig]  # one column of the figure each
    all_must_fit: bool  # refuse ratios that the model's regions do not fit; otherwise skip them
    seed: int  # of the masks, and of an untrained model's weights


class Reconstructor:
    """A model that reconstructs stored clips at several mask ratios. Raises UserError for a model that cannot."""

    def __init__(self, request: ReconstructionRequest) -> None:
        self.request = request
        if request.model is not None:
            self.model, self.title = MaskedAutoencoder.from_pretrained(request.model), str(request.model)
        else:
            torch.manual_seed(request.seed)
            self.model, self.title = MaskedAutoencoder(preset(request.preset)), f"{request.preset}, untrained"

    def draw(self, shards: Path, key: str | None, out: Path) -> list[str]:
        """Reconstruct one stored clip, the first where `key` is None, write the figure, return a sentence a ratio pair.

        Raises UserError, FaultError.
        """
        key, both_video, both_audio = _read_clip(shards, key, self.model.config.geometry)
        modalities = self.model.config.modalities
        video, audio = both_video if "v" in modalities else None, both_audio if "a" in modalities else None
        clips = []
        for masks in self.request.ratios:
            try:
                clips.append(reconstruct_clip(self.model, video, audio, masks, self.request.seed))
            except ValueError as error:
                if not self.request.all_must_fit:
                    continue
                raise UserError(f"--ratios {masks.video_ratio:g}:{masks.audio_ratio:g}: {error}") from None
        draw_reconstruction(out, clips, f"{key}\n{self.title}", self.model.config.targets.normalised)
        return [
            ", ".join(f"{name} {part.ratio:g}" for name, part in clip.parts.items()) + f" hidden: {clip.verdict}"
            for clip in clips
        ]


def _read_clip(shards: Path, key: str | None, geometry: Geometry) -> tuple[str, Tensor, Tensor]:
    """Return (key, video, audio) of one clip of a folder of shards, as input of the model. Raises UserError."""
    tars = sorted(shards.glob("*.tar"))
    if not tars:
        raise UserError(
            f"{shards}: holds no shards (*.tar); `avf-shards pack RUN --out {shell_word(shards)}` makes them"
        )
    for tar in tars:
        with ShardReader(tar) as reader:
            members = reader.index.by_key()
            chosen = key or next(iter(members), None)
            if chosen not in members:
                continue
            files = {kind: reader.read(member) for kind, member in members[chosen].items()}
            return chosen, *_first_window(files, geometry)
    raise UserError(f"{shards}: has no clip {key!r}; `avf-shards ls {shell_word(shards)} --keys` lists them")


def _first_window(files: dict[str, bytes], geometry: Geometry) -> tuple[Tensor, Tensor]:
    clip = decode_clip(
        files, lambda total, _: _FirstWindow(frames=window_frames(0, geometry.frames, total)), geometry.frames * STRIDE
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
