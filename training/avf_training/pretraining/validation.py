"""Validation of pre-training on clips the model never saw: reconstruction beside a mean predictor, and retrieval.

Shapes: B batch, M tokens reconstructed, N all tokens, P values of a patch, C width, L levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import Crop, PretrainingBatch, PretrainingSampler, pretraining_input
from avf_training.data.scored_items import ScoredItems
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream
from avf_training.distributed.environment import launched_world
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
    unreadable: int = 0  # clips that could not be read, and are left out
    # The errors of a modality that the model lacks are None, and so are the recalls of a model of one modality.
    video_mse: float | None = None  # of the model
    video_mean_patch_mse: float | None = None  # of the mean-patch predictor
    video_mean_image_mse: float | None = None  # of the mean-image predictor
    audio_mse: float | None = None  # of the model
    audio_mean_patch_mse: float | None = None  # of the mean-patch predictor
    audio_mean_image_mse: float | None = None  # of the mean-image predictor
    recall_video_to_audio: float | None = None  # R@1: share of clips whose own audio is the nearest of all clips' audio
    recall_audio_to_video: float | None = None  # R@1: share of clips whose own video is the nearest of all clips' video

    def errors(self) -> dict[str, tuple[float, float, float]]:
        """Return the errors of the model, the mean-patch and the mean-image predictor, by modality."""
        errors = {
            "video": (self.video_mse, self.video_mean_patch_mse, self.video_mean_image_mse),
            "audio": (self.audio_mse, self.audio_mean_patch_mse, self.audio_mean_image_mse),
        }
        return {
            name: (model, patch, image)
            for name, (model, patch, image) in errors.items()
            if model is not None and patch is not None and image is not None
        }

    def total_errors(self) -> tuple[float, float, float]:
        """Return the three errors, added over the modalities as in the loss."""
        model, patch, image = (sum(column) for column in zip(*self.errors().values(), strict=True))
        return model, patch, image

    @property
    def mean_patch_ratio(self) -> float:
        """The model's error over the mean-patch predictor's."""
        model, patch, _ = self.total_errors()
        return model / patch

    @property
    def mean_image_ratio(self) -> float:
        """The model's error over the mean-image predictor's."""
        model, _, image = self.total_errors()
        return model / image

    @property
    def recall_over_chance(self) -> float | None:
        """Mean R@1 of both directions over chance, which is 1 / clips."""
        if self.recall_video_to_audio is None or self.recall_audio_to_video is None:
            return None
        return (self.recall_video_to_audio + self.recall_audio_to_video) / 2 * self.clips

    def ratios(self) -> dict[str, float]:
        """Return the ratios by the names that curves and the console show."""
        ratios = {"mse/mean patch": self.mean_patch_ratio, "mse/mean image": self.mean_image_ratio}
        recall = self.recall_over_chance
        return ratios if recall is None else ratios | {"R@1/chance": recall}


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
        def windows(shards: Path | str, count: int, epochs: int | None) -> ScoredItems[PretrainingBatch]:
            warns = launched_world().rank == 0  # with FSDP2 every rank reads the same
            settings = StreamConfig(shards=shards, batch=1, epochs=epochs, storage=storage, scored=True, warns=warns)
            return ScoredItems(ClipStream(settings, PretrainingSampler(config, masks)), count, _BATCH)

        self.config, self.device = config, device
        self._means = None
        if train is not None:
            self._means = _mean_targets(config, map(_as_stored, windows(train, _TRAIN_WINDOWS, None)))
        clips = windows(validation, 1 if train is None else _MAX_CLIPS, 1)
        self._batches = [_as_stored(batch) for batch in clips]
        self.unreadable = clips.unreadable  # clips that could not be read, and are left out

    @torch.no_grad()
    def score(self, model: MaskedAutoencoder) -> ValidationScores:
        """Return the errors and recalls of `model`, which is left in the mode (train or eval) that it was in."""
        if self._means is None:
            raise ValueError("these clips were read without the training shards, so they can be drawn but not scored")
        training = model.training
        model.eval()
        errors: list[dict[str, Tensor]] = []
        features: list[tuple[Tensor, Tensor]] = []
        for stored in self._batches:
            batch = stored.to(self.device)
            video, audio = pretraining_input(batch, self.config.geometry, self.config.modalities)
            errors.append(self._errors(model, batch, video, audio))
            if video is not None and audio is not None and self.config.skips:
                levels = model.level_features(video, audio)
                video_BLC, audio_BLC = (torch.stack(side, 1).cpu() for side in zip(*levels, strict=True))
                features.append((video_BLC, audio_BLC))
        model.train(training)
        clips = sum(len(batch) for batch in self._batches)
        means = {name: float(sum(part[name] for part in errors)) / clips for name in errors[0]}
        return ValidationScores(clips=clips, unreadable=self.unreadable, **means, **_recalls(features))

    def _errors(
        self, model: MaskedAutoencoder, batch: PretrainingBatch, video: Tensor | None, audio: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the errors of a batch by the names of `ValidationScores`, times its clips."""
        assert self._means is not None
        out, masks = model(video, audio, batch.masks), batch.masks
        geometry, targets = self.config.geometry, self.config.targets
        errors: dict[str, Tensor] = {}
        if out.video_BMP is not None and video is not None:
            true_BMP = video_targets(video, masks.video_target_BM, geometry, targets)
            mean_NP = self._means["video"].to(self.device)
            for name, predicted in _predictions("video", out.video_BMP, mean_NP, masks.video_target_BM):
                errors[name] = masked_mse(predicted, true_BMP, masks.video_weight_BM).cpu() * len(batch)
        if out.audio_BMP is not None and audio is not None:
            true_BMP = audio_targets(audio, masks.audio_target_BM, geometry, targets)
            mean_NP = self._means["audio"].to(self.device)
            for name, predicted in _predictions("audio", out.audio_BMP, mean_NP, masks.audio_target_BM):
                errors[name] = masked_mse(predicted, true_BMP, masks.audio_weight_BM).cpu() * len(batch)
        return errors

    def first(self) -> tuple[str, Tensor | None, Tensor | None]:
        """Return (key, video, audio) of the first clip, as input of the model."""
        video, audio = pretraining_input(self._batches[0].to(self.device), self.config.geometry, self.config.modalities)
        return self._batches[0].keys[0], None if video is None else video[:1], None if audio is None else audio[:1]


def _as_stored(batch: PretrainingBatch) -> PretrainingBatch:
    """Return a batch with full frames at their own loudness."""
    return replace(batch, params=tuple(replace(draw, crop=_FULL_FRAME, gain=1.0) for draw in batch.params))


def _predictions(modality: str, model_BMP: Tensor, mean_NP: Tensor, target_BM: Tensor) -> list[tuple[str, Tensor]]:
    """Return the predictions of the model and of the mean-patch and the mean-image predictor, by name."""
    return [
        (f"{modality}_mse", model_BMP),
        (f"{modality}_mean_patch_mse", mean_NP.mean(0)),
        (f"{modality}_mean_image_mse", mean_NP[target_BM]),
    ]


def _recalls(features: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return the recalls of retrieval among all clips, from each batch's video and audio (B, L, C)."""
    if not features:
        return {}
    video_BLC, audio_BLC = (F.normalize(torch.cat(side), dim=-1) for side in zip(*features, strict=True))
    scores_BB = torch.einsum("vlc,alc->va", video_BLC, audio_BLC)
    own_B = torch.arange(len(scores_BB))
    to_audio, to_video = (matrix.argmax(1).eq(own_B).float().mean().item() for matrix in (scores_BB, scores_BB.T))
    return {"recall_video_to_audio": to_audio, "recall_audio_to_video": to_video}


def _mean_targets(config: ModelConfig, batches: Iterator[PretrainingBatch]) -> dict[str, Tensor]:
    """Return the mean patch at each position, (N, P), by modality."""
    geometry, count = config.geometry, 0
    sums: dict[str, Tensor] = {}
    for batch in batches:
        video, audio = pretraining_input(batch, geometry, config.modalities)
        for name, targets, clips, tokens in (
            ("video", video_targets, video, geometry.video_tokens),
            ("audio", audio_targets, audio, geometry.audio_tokens),
        ):
            if clips is not None:
                tokens_BN = torch.arange(tokens).expand(len(batch), -1)
                sums[name] = sums.get(name, torch.zeros(())) + targets(clips, tokens_BN, geometry, config.targets).sum(
                    0
                )
        count += len(batch)
    return {name: total / count for name, total in sums.items()}
