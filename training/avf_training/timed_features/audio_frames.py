"""What an audio encoder hears at each frame of any rate. S samples, W windows, N frames, L layers, D width."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.data.fbank import INT16_SCALE
from avf_training.data.transforms import log_mel_batch
from avf_training.inference.feature_model import FeatureModel
from avf_training.models.config import Geometry
from avf_training.models.encoder import Encoder
from avf_training.timed_features.frame_rate import centre_samples, check_fps, frame_centres_s, frames_of_length
from avf_training.timed_features.layers import Layers, parse_layers
from avf_training.timed_features.tokens import Bands, check_bands, pick_tokens
from avf_training.timed_features.windows import Ints, TokenContext, audio_clock, check_context, plan_windows

_LOUDEST = 2.0
"""Of full scale: lossy decoders overshoot 1 by less, and sound of unit variance by more."""


@dataclass(frozen=True, kw_only=True)
class TimedFeatures:
    """Vectors of frames, and when they are."""

    times_s_N: npt.NDArray[np.float64]  # centres of the frames, in seconds from the input's start
    vectors_NLD: Tensor


class AudioFrames:
    """The audio encoder of a saved model, asked at frames of one rate.

    Each vector is a token whose centre is that of its frame, to a sample: the windows of the encoder are shifted until
    a token lies there. Before and after the sound there is silence.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        fps: float = 25.0,
        layers: Layers = "last",
        context: TokenContext = "lattice",
        bands: Bands = "mean",
        device: str = "cpu",
    ) -> None:
        """Load the encoder. Raises UserError for a model without sound, and for settings that do not exist.

        Args:
            model: a saved model or run, pre-trained or fine-tuned.
            fps: frames a second, any number.
            layers: `last`, `all` or numbers; 0 is what the first layer reads.
            context: `lattice`, or `dense` for the same context at each frame.
            bands: `mean` over the mel bands, or `keep` them one behind the other.
            device: of the encoder.
        """
        check_fps(fps)
        check_context(context)
        check_bands(bands)
        self.encoder = load_audio_encoder(model, device)
        self.fps, self.context, self.bands = fps, context, bands
        self.layers = parse_layers(layers, len(self.encoder.blocks))

    @torch.no_grad()
    def of(self, samples_S: Tensor | npt.NDArray[np.generic], sample_rate_hz: int = SAMPLE_RATE_HZ) -> TimedFeatures:
        """Return the vectors of all frames that begin within the sound, on the CPU.

        Raises UserError for sound that is shorter than a token (0.175 s), of another rate, or not in its own level.

        Args:
            samples_S: one channel, floats in -1..1 at their own level, or int16.
            sample_rate_hz: of the samples: 16,000.
        """
        clock = audio_clock(self.encoder.geometry)
        wave_S = read_wave(samples_S, sample_rate_hz, shortest=clock.reach)
        frames = frames_of_length(len(wave_S) / SAMPLE_RATE_HZ, self.fps)
        centres_N = centre_samples(frames, self.fps)
        vectors_NLD = hear(self.encoder, wave_S, centres_N, layers=self.layers, context=self.context, bands=self.bands)
        return TimedFeatures(times_s_N=frame_centres_s(frames, self.fps), vectors_NLD=vectors_NLD.float().cpu())


def load_audio_encoder(model: Path | str, device: str = "cpu") -> Encoder:
    """Return the audio encoder of a saved model or run. Raises UserError for a model that hears nothing."""
    loaded = FeatureModel(Path(model), device)
    if "a" not in loaded.config.modalities:
        raise UserError(f"{model}: is a model of pictures alone, which hears nothing; name one with sound")
    encoder: Encoder = loaded.model.encoder_audio
    return encoder


def read_wave(samples_S: Tensor | npt.NDArray[np.generic], sample_rate_hz: int, *, shortest: int) -> Tensor:
    """Return samples as floats in -1..1, (S,), where they are. Raises UserError for samples that do not fit.

    Args:
        samples_S: one channel, floats or int16.
        sample_rate_hz: of the samples.
        shortest: samples that there must be.
    """
    wave_S = torch.as_tensor(samples_S)
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise UserError(f"sound of {sample_rate_hz} Hz: the models hear {SAMPLE_RATE_HZ} Hz; resample it first")
    if wave_S.ndim != 1:
        raise UserError(f"sound of shape {tuple(wave_S.shape)}: one channel has the shape (samples,)")
    if wave_S.dtype == torch.int16:
        wave_S = wave_S.float() / INT16_SCALE
    elif not wave_S.is_floating_point():
        raise UserError(f"sound of type {wave_S.dtype}: give floats in -1 to 1, or int16")
    wave_S = wave_S.float()
    if len(wave_S) < shortest:
        raise UserError(
            f"sound of {len(wave_S):,} samples ({len(wave_S) / SAMPLE_RATE_HZ:.3f} s): a token hears {shortest:,} "
            f"({shortest / SAMPLE_RATE_HZ:.3f} s)"
        )
    if not wave_S.isfinite().all():
        raise UserError("sound with values that are no numbers")
    peak = float(wave_S.detach().abs().max())
    if peak > _LOUDEST:
        raise UserError(
            f"sound that reaches {peak:.3g}, where full scale is 1: these models know sound at its own level; give the "
            "samples as they are in the file, not scaled to unit variance as the processors of wav2vec 2.0 do"
        )
    return wave_S


def hear(
    encoder: Encoder, wave_S: Tensor, centres_N: Ints, *, layers: tuple[int, ...], context: TokenContext, bands: Bands
) -> Tensor:
    """Return the tokens centred on these samples of a wave, (N, L, D), with gradients; see `pick_tokens`."""
    parameter = next(encoder.parameters())
    on_device_S = wave_S.to(parameter.device)

    def window_input(starts_B: Ints) -> Tensor:
        return audio_windows(on_device_S, starts_B, encoder.geometry).to(parameter.dtype)

    plan = plan_windows(centres_N, audio_clock(encoder.geometry), context)
    return pick_tokens(encoder, plan, window_input, layers, bands)


def audio_windows(wave_S: Tensor, starts_W: Ints, geometry: Geometry) -> Tensor:
    """Return the encoder's input for windows of a wave, (W, 1, M, F); outside of the wave there is silence."""
    length = audio_clock(geometry).length
    windows_WS = torch.stack([_cut(wave_S, start, start + length) for start in starts_W.tolist()])
    centred_WS = windows_WS - windows_WS.mean(1, keepdim=True)
    return log_mel_batch(centred_WS, torch.full((len(starts_W),), length, device=wave_S.device), geometry)


def _cut(wave_S: Tensor, start: int, stop: int) -> Tensor:
    """Return samples of a wave, with zeros where it has none."""
    inside_S = wave_S[max(0, start) : max(0, stop)]
    before = min(max(0, -start), stop - start)
    return torch.nn.functional.pad(inside_S, (before, stop - start - before - len(inside_S)))
