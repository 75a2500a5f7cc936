"""How well a pre-trained model does on clips it never saw: reconstruction beside a mean predictor, and retrieval.

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
from avf_training.data.pretraining import Crop, PretrainingBatch, PretrainingSampler, pretraining_input
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.masking import MaskConfig
from avf_training.objectives.reconstruction import masked_mse
from avf_training.objectives.targets import audio_targets, video_targets

_WHOLE = Crop(wide=1.0, high=1.0, quarter_x=2, quarter_y=2)
_BATCH, _MOST, _TRAIN_WINDOWS = 16, 256, 256


@dataclass(frozen=True, kw_only=True)
class ValidationScores:
    """*_mse: error of what was masked; *_mean_mse: of predicting the mean patch of the training clips; *_place_mse: of
    predicting their mean patch at each place, a mean picture, which knows where faces are.

    recall: share of clips whose own sound is the nearest of all clips' sounds; recall_back: the other way round.
    """

    clips: int
    video_mse: float
    video_mean_mse: float
    video_place_mse: float
    audio_mse: float
    audio_mean_mse: float
    audio_place_mse: float
    recall: float
    recall_back: float

    @property
    def mse_ratio(self) -> float:
        """Over the mean predictor's; both modalities together, as the loss adds them."""
        return (self.video_mse + self.audio_mse) / (self.video_mean_mse + self.audio_mean_mse)

    @property
    def place_ratio(self) -> float:
        """Over the mean picture's."""
        return (self.video_mse + self.audio_mse) / (self.video_place_mse + self.audio_place_mse)

    @property
    def recall_over_chance(self) -> float:
        """R@1 of both directions over 1 / clips."""
        return (self.recall + self.recall_back) / 2 * self.clips

    def told(self) -> dict[str, float]:
        """For people and curves."""
        ratios = {"mse/mean patch": self.mse_ratio, "mse/mean picture": self.place_ratio}
        return ratios | {"R@1/chance": self.recall_over_chance}


class ValidationClips:
    """One window of every clip of `unseen` (256 at most), whole pictures at their own loudness, kept in memory.

    train: the shards a model was trained on; None takes one clip only, to look at and not to score.
    """

    def __init__(
        self,
        config: ModelConfig,
        masks: MaskConfig,
        *,
        train: Path | str | None,
        unseen: Path | str,
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
                yield replace(batch, draws=tuple(replace(draw, crop=_WHOLE, gain=1.0) for draw in batch.draws))

        self.config, self.device = config, device
        self._means = None if train is None else _mean_targets(config, windows(train, _TRAIN_WINDOWS, None))
        self._batches = list(windows(unseen, 1 if train is None else _MOST, 1))

    @torch.no_grad()
    def score(self, model: MaskedAutoencoder) -> ValidationScores:
        """The model's errors and recall; it is in train mode afterwards if it was before."""
        if self._means is None:
            raise ValueError("made without the training shards: to look at, not to score")
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
            levels = model.levels(video, audio)
            features.append(tuple(torch.stack(side, 1).cpu() for side in zip(*levels, strict=True)))
        model.train(training)
        video_BLC, audio_BLC = (F.normalize(torch.cat(side), dim=-1) for side in zip(*features, strict=True))
        scores_BB = torch.einsum("vlc,alc->va", video_BLC, audio_BLC)
        clips = len(scores_BB)
        recall, back = (one.argmax(1).eq(torch.arange(clips)).float().mean().item() for one in (scores_BB, scores_BB.T))
        video, video_mean, video_place, audio, audio_mean, audio_place = (torch.stack(errors).sum(0) / clips).tolist()
        return ValidationScores(
            clips=clips,
            video_mse=video,
            video_mean_mse=video_mean,
            video_place_mse=video_place,
            audio_mse=audio,
            audio_mean_mse=audio_mean,
            audio_place_mse=audio_place,
            recall=recall,
            recall_back=back,
        )

    def first(self) -> tuple[str, Tensor, Tensor]:
        """(key, video, sound) of the first clip, as the model takes them."""
        video, audio = pretraining_input(self._batches[0].to(self.device), self.config.geometry)
        return self._batches[0].keys[0], video[:1], audio[:1]


def _mean_targets(config: ModelConfig, batches: Iterator[PretrainingBatch]) -> tuple[Tensor, Tensor]:
    """Mean patch at each place, (N, P), of video and sound."""
    geometry, count = config.geometry, 0
    sums = [torch.zeros(()), torch.zeros(())]
    for batch in batches:
        video, audio = pretraining_input(batch, geometry)
        both = (video_targets, video, geometry.video_tokens), (audio_targets, audio, geometry.audio_tokens)
        for n, (targets, clips, tokens) in enumerate(both):
            every_BN = torch.arange(tokens).expand(len(batch), -1)
            sums[n] = sums[n] + targets(clips, every_BN, geometry, config.targets).sum(0)
        count += len(batch)
    return sums[0] / count, sums[1] / count
