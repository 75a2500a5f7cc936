"""Validation of pre-training on clips the model never saw: reconstruction beside a mean predictor, and retrieval.

Shapes: B batch, M tokens reconstructed, N all tokens, P values of a patch, C width, L levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.data.batch import concat_batches
from avf_training.data.loader import StreamLoader
from avf_training.data.pretraining_sampler import Crop, PretrainingBatch, PretrainingSampler, pretraining_input
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig
from avf_training.objectives.reconstruction_loss import masked_mse
from avf_training.objectives.targets import audio_targets, video_targets

_FULL_FRAME = Crop(width_share=1.0, height_share=1.0, quarter_x=2, quarter_y=2)
_BATCH = 16  # clips of one forward pass
_MAX_CLIPS = 256  # retrieval among more clips is harder, so recalls compare only at one count
_TRAIN_WINDOWS = 256  # training clips that the mean predictor averages


@dataclass(frozen=True, kw_only=True)
class ValidationScores:
    """Errors on masked tokens beside those of two predictors without a model, and audio-visual retrieval.

    The mean-patch predictor gives the mean patch of the training clips at every position. The mean-image predictor
    gives the mean patch of each position, so it knows where faces are.
    """

    clips: int  # number of validation clips
    video_mse: float  # of the model
    video_mean_patch_mse: float  # of the mean-patch predictor
    video_mean_image_mse: float  # of the mean-image predictor
    audio_mse: float  # of the model
    audio_mean_patch_mse: float  # of the mean-patch predictor
    audio_mean_image_mse: float  # of the mean-image predictor
    recall_video_to_audio: float  # R@1: share of clips whose own audio is the nearest of all clips' audio
    recall_audio_to_video: float  # R@1: share of clips whose own video is the nearest of all clips' video

    @property
    def mean_patch_ratio(self) -> float:
        """The model's error over the mean-patch predictor's; both modalities are added, as in the loss."""
        return (self.video_mse + self.audio_mse) / (self.video_mean_patch_mse + self.audio_mean_patch_mse)

    @property
    def mean_image_ratio(self) -> float:
        """The model's error over the mean-image predictor's."""
        return (self.video_mse + self.audio_mse) / (self.video_mean_image_mse + self.audio_mean_image_mse)

    @property
    def recall_over_chance(self) -> float:
        """Mean R@1 of both directions over chance, which is 1 / clips."""
        return (self.recall_video_to_audio + self.recall_audio_to_video) / 2 * self.clips

    def ratios(self) -> dict[str, float]:
        """Return the three ratios by the names that curves and the console show."""
        ratios = {"mse/mean patch": self.mean_patch_ratio, "mse/mean image": self.mean_image_ratio}
        return ratios | {"R@1/chance": self.recall_over_chance}


class ValidationClips:
    """One window of each validation clip (256 at most), full frames at their own loudness, kept in memory.

    Args:
        train: the shards a model was trained on, for the mean predictors. With None only one clip is kept, to be drawn
            and not scored.
    """

    def __init__(
        self,
        config: ModelConfig,
        masks: MaskConfig,
        *,
        train: Path | str | None,
        validation: Path | str,
        storage: StorageConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        def windows(shards: Path | str, count: int, epochs: int | None) -> Iterator[PretrainingBatch]:
            stream = ClipStream(
                StreamConfig(shards=shards, batch=1, epochs=epochs, storage=storage), PretrainingSampler(config, masks)
            )
            singles = islice(iter(StreamLoader(stream)), count)
            while group := list(islice(singles, _BATCH)):
                batch = concat_batches(group)
                yield replace(batch, params=tuple(replace(draw, crop=_FULL_FRAME, gain=1.0) for draw in batch.params))

        self.config, self.device = config, device
        self._means = None if train is None else _mean_targets(config, windows(train, _TRAIN_WINDOWS, None))
        self._batches = list(windows(validation, 1 if train is None else _MAX_CLIPS, 1))

    @torch.no_grad()
    def score(self, model: MaskedAutoencoder) -> ValidationScores:
        """Return the errors and recalls of `model`, which is left in the mode (train or eval) that it was in."""
        if self._means is None:
            raise ValueError("these clips were read without the training shards, so they can be drawn but not scored")
        training = model.training
        model.eval()
        geometry = self.config.geometry
        video_mean_NP, audio_mean_NP = (means_NP.to(self.device) for means_NP in self._means)
        errors, features = [], []
        for stored in self._batches:
            batch = stored.to(self.device)
            video, audio = pretraining_input(batch, geometry)
            out, masks = model(video, audio, batch.masks), batch.masks
            assert out.video_BMP is not None
            assert out.audio_BMP is not None
            video_BMP = video_targets(video, masks.video_target_BM, geometry, self.config.targets)
            audio_BMP = audio_targets(audio, masks.audio_target_BM, geometry, self.config.targets)
            pairs = (
                (out.video_BMP, video_BMP, masks.video_weight_BM),
                (video_mean_NP.mean(0), video_BMP, masks.video_weight_BM),
                (video_mean_NP[masks.video_target_BM], video_BMP, masks.video_weight_BM),
                (out.audio_BMP, audio_BMP, masks.audio_weight_BM),
                (audio_mean_NP.mean(0), audio_BMP, masks.audio_weight_BM),
                (audio_mean_NP[masks.audio_target_BM], audio_BMP, masks.audio_weight_BM),
            )
            errors.append(torch.stack([masked_mse(*pair) for pair in pairs]).cpu() * len(batch))
            levels = model.level_features(video, audio)
            features.append(tuple(torch.stack(side, 1).cpu() for side in zip(*levels, strict=True)))
        model.train(training)
        video_BLC, audio_BLC = (F.normalize(torch.cat(side), dim=-1) for side in zip(*features, strict=True))
        scores_BB = torch.einsum("vlc,alc->va", video_BLC, audio_BLC)
        clips = len(scores_BB)
        to_audio, to_video = (
            matrix.argmax(1).eq(torch.arange(clips)).float().mean().item() for matrix in (scores_BB, scores_BB.T)
        )
        video, video_patch, video_image, audio, audio_patch, audio_image = (torch.stack(errors).sum(0) / clips).tolist()
        return ValidationScores(
            clips=clips,
            video_mse=video,
            video_mean_patch_mse=video_patch,
            video_mean_image_mse=video_image,
            audio_mse=audio,
            audio_mean_patch_mse=audio_patch,
            audio_mean_image_mse=audio_image,
            recall_video_to_audio=to_audio,
            recall_audio_to_video=to_video,
        )

    def first(self) -> tuple[str, Tensor, Tensor]:
        """Return (key, video, audio) of the first clip, as input of the model."""
        video, audio = pretraining_input(self._batches[0].to(self.device), self.config.geometry)
        return self._batches[0].keys[0], video[:1], audio[:1]


def _mean_targets(config: ModelConfig, batches: Iterator[PretrainingBatch]) -> tuple[Tensor, Tensor]:
    """Return the mean patch at each position, (N, P), of video and of audio."""
    geometry, count = config.geometry, 0
    sums = [torch.zeros(()), torch.zeros(())]
    for batch in batches:
        video, audio = pretraining_input(batch, geometry)
        modalities = (video_targets, video, geometry.video_tokens), (audio_targets, audio, geometry.audio_tokens)
        for index, (targets, clips, tokens) in enumerate(modalities):
            tokens_BN = torch.arange(tokens).expand(len(batch), -1)
            sums[index] = sums[index] + targets(clips, tokens_BN, geometry, config.targets).sum(0)
        count += len(batch)
    return sums[0] / count, sums[1] / count
