"""The figure of a reconstruction: original, masked and reconstructed frames and spectrograms (AVF-MAE++ Fig. 5).

Shapes: B batch, N tokens, P values of a patch, T frames, H W frame size, M mel frames, F mels.
"""

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
from avf_training.trainer.figures import load_pyplot

_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class ReconstructedClip:
    """One clip reconstructed at one pair of mask ratios."""

    video_ratio: float  # share of the video tokens that is masked
    audio_ratio: float  # share of the audio tokens that is masked
    video: npt.NDArray[np.float32]  # (T, H, W, 3) in [0, 1]
    video_visible: npt.NDArray[np.float32]  # input of the encoder; nan where masked
    video_filled: npt.NDArray[np.float32]  # the reconstruction where masked, the original elsewhere
    audio: npt.NDArray[np.float32]  # (M, F), normalized log-mel
    audio_visible: npt.NDArray[np.float32]  # nan where masked
    audio_filled: npt.NDArray[np.float32]  # the reconstruction where masked, the original elsewhere


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
        video_filled=_to_frames(_fill_masked(video_BNP, clip.video.target_M, video), geometry),
        audio=_to_spectrogram(audio_BNP, geometry),
        audio_visible=_to_spectrogram(
            _fill_masked(audio_BNP, clip.audio.target_M, torch.full_like(audio, torch.nan)), geometry
        ),
        audio_filled=_to_spectrogram(_fill_masked(audio_BNP, clip.audio.target_M, audio), geometry),
    )


def _pixels(predicted_BMP: Tensor, true_BMP: Tensor, geometry: Geometry, targets: TargetConfig) -> Tensor:
    """Return predictions, laid out as (frame, pixel, channel), as patches of pixels laid out as in `video_patches`."""
    cube: Tensor = predicted_BMP.unflatten(-1, (geometry.tube_frames, geometry.patch_px**2, 3)).permute(0, 1, 4, 2, 3)
    if targets.frame_difference:
        even, odd = cube[..., 0::2, :], cube[..., 1::2, :]
        # Odd frames are predicted as the difference from the frame before; see objectives/targets.py.
        cube = torch.stack((even, even + odd), -2).flatten(-3, -2)
    if targets.normalised:
        return _denormalize(cube.flatten(-2), true_BMP.unflatten(-1, (3, -1))).flatten(-2)
    std_C1, mean_C1 = (cube.new_tensor(value)[:, None] for value in (IMAGE_STD, IMAGE_MEAN))
    return (cube.flatten(-2) * std_C1 + mean_C1).flatten(-2)


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


def draw_reconstruction(path: Path, clips: list[ReconstructedClip], title: str, restored: bool, every: int = 2) -> None:
    """Write the figure: the original on top, then for each pair of ratios what was visible and what was reconstructed.

    Args:
        restored: whether the patches' own means and deviations were restored; the figure then says so.
    """
    pyplot = load_pyplot()

    rows = [("original", clips[0].video, clips[0].audio)]
    for clip in clips:
        video, audio = f"{clip.video_ratio:.4g}", f"{clip.audio_ratio:.4g}"
        rows.append((f"masked\nvideo {video}\nsound {audio}", clip.video_visible, clip.audio_visible))
        rows.append(("reconstructed", clip.video_filled, clip.audio_filled))
    shown = range(0, len(clips[0].video), every)
    widths = [1.0] * len(shown) + [2.0]
    figure, axes = pyplot.subplots(
        len(rows),
        len(shown) + 1,
        figsize=(1.15 * sum(widths) + 0.9, 1.25 * len(rows) + 0.5),
        gridspec_kw={"width_ratios": widths, "wspace": 0.04, "hspace": 0.06},
        squeeze=False,
    )
    # One scale for all rows, so that brightness compares; percentiles, so that a few extreme bins do not decide it.
    low, high = np.nanpercentile(clips[0].audio, [1, 99])
    for line, (name, frames_THWC, mel_MF) in zip(axes, rows, strict=True):
        for axis, index in zip(line, shown, strict=False):
            axis.imshow(np.where(np.isnan(frames_THWC[index]), 0.5, frames_THWC[index]))
        line[-1].set_facecolor("0.5")
        line[-1].imshow(mel_MF.T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    figure.text(0.06, 0.895, title, fontsize=9)
    if restored:
        note = "Each reconstructed patch has the mean and deviation of its original restored."
        figure.text(0.06, 0.075, note, fontsize=7)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    pyplot.close(figure)


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

    def draw(self, shards: Path, key: str | None, out: Path) -> None:
        """Reconstruct one stored clip, the first where `key` is None, and write the figure.

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
        draw_reconstruction(out, clips, f"{key}   {self.title}", self.model.config.targets.normalised)


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
