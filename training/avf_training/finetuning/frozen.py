"""Evaluation of a model whose weights stay as they are: probes of its features on a labelled fold, and their spread."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from avf_shards.errors import FaultError, UserError
from torch import Tensor

from avf_training.evaluation.feature_health import FeatureHealth, measure_features
from avf_training.evaluation.multi_view import ViewConfig, view_input, view_loader
from avf_training.evaluation.probes import PROBES, FrozenFeatures, ProbeConfig, ProbeName, run_probe
from avf_training.evaluation.results import scores_as_dict
from avf_training.evaluation.scoring import Predictions, score_predictions
from avf_training.finetuning.initialization import inherit_learned, load_start
from avf_training.models.classifier import Classifier, weighted_layers
from avf_training.models.config import Modalities, ModelConfig, Precision
from avf_training.models.pretrained import initialize_encoders, load_model_folder, parse_saved_config
from avf_training.models.saved_config import refuse_image_model
from avf_training.tasks.task import Task
from avf_training.trainer.saved_model import start_model

_LOG = logging.getLogger(__name__)
_MOST_CLIPS = 2048  # whose spread is measured: it compares each clip with each
_MOST_TOKENS = 64  # of a modality: a ViT has 1,568; neighbours are averaged


@dataclass(frozen=True, kw_only=True)
class FrozenScores:
    """Scores of the probes of one model, and the spread of its features over training and test clips."""

    predictions: Mapping[ProbeName, Predictions]  # of the test clips; unreadable are those of both parts
    health: FeatureHealth  # of all clips of the fold

    def curve(self, task: Task) -> dict[str, float]:
        """Return the first metric of each probe and the measures of spread, by the names of curves."""
        metric = task.data.metrics[0]
        values = {}
        for name, predictions in self.predictions.items():
            value = score_predictions(task.data, predictions)[metric].value
            values[f"probe/{name} {metric}"] = float("nan") if value is None else value
        return values | self.health.values()

    def as_dict(self, task: Task) -> dict[str, Any]:
        """Return all scores with their intervals, and the spread, as JSON values."""
        probes = {name: scores_as_dict(task, predictions) for name, predictions in self.predictions.items()}
        clips: dict[str, Any] = {"train": len(task.train), "test": len(task.test)}
        clips["unreadable"] = list(next(iter(self.predictions.values())).unreadable)
        health = {**asdict(self.health), "alarms": self.health.alarms()}
        return {"task": task.name, **clips, "probes": probes, "features": health}


def saved_modalities(saved: Path) -> Modalities:
    """Return the modalities of a saved model or of that of a run. Raises UserError."""
    folder = start_model(saved)
    values, _ = load_model_folder(folder)
    refuse_image_model(values, saved)
    return parse_saved_config(values["model"], folder).modalities


def probe_saved_model(
    saved: Path,
    task: Task,
    probes: Sequence[ProbeName] = PROBES,
    config: ProbeConfig | None = None,
    device: str = "cpu",
) -> FrozenScores:
    """Return the scores of a saved model, pre-trained or fine-tuned. Raises UserError where it learned test clips."""
    inherit_learned(saved, task)
    folder = start_model(saved)
    values, _ = load_model_folder(folder)
    refuse_image_model(values, saved)
    if values["kind"] == "classifier":
        model = Classifier.from_pretrained(folder)
    else:
        model = Classifier(parse_saved_config(values["model"], folder), 1)
        load_start(model, folder)
    return score_frozen(model.to(device), task, probes, config or ProbeConfig())


def probe_callback(config: ModelConfig, task: Task, device: torch.device | str) -> Callable[..., dict[str, float]]:
    """Return the function that scores pre-training's tensors as it goes, with warnings where features have collapsed.

    The attentive probe is left out: it is trained anew each time.
    """

    # At the first call, which rank 0 alone makes: before, every rank would hold a model, and all on the same GPU.
    @cache
    def probed_model() -> Classifier:
        with torch.random.fork_rng(devices=[]):
            return Classifier(config, 1).to(device)

    def score(step: int, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        model = probed_model()
        initialize_encoders(model, {name: tensor.to(device) for name, tensor in tensors.items()})
        scores = score_frozen(model, task, ("linear", "knn"), ProbeConfig())
        for sentence in scores.health.alarms():
            _LOG.warning("step %d: %s", step + 1, sentence)
        return scores.curve(task)

    return score


def score_frozen(model: Classifier, task: Task, probes: Sequence[ProbeName], config: ProbeConfig) -> FrozenScores:
    """Return the scores of a model's features on a fold.

    Raises UserError for a fold without clips, FaultError where none of its training or test clips can be read.
    """
    if not task.train or not task.test:
        raise UserError(
            f"{task.name}: a probe needs clips to learn from and clips to test; this fold lacks one of them"
        )
    features = extract_features(model, task, [*task.train, *task.test])
    learned = set(task.train)
    rows = [[row for row, key in enumerate(features.keys) if (key in learned) == side] for side in (True, False)]
    if not all(rows):
        raise FaultError(f"{task.name}: none of its {'training' if rows[1] else 'test'} clips can be read")
    train, test = (features.select(part) for part in rows)
    unreadable = tuple(sorted({*task.train, *task.test}.difference(features.keys)))
    truths = [np.array([task.truth[key] for key in part.keys], float) for part in (train, test)]
    classes = task.outputs if task.is_classification else 0
    predictions: dict[ProbeName, Predictions] = {}
    for name in probes:
        scores_MJ = run_probe(name, train, truths[0], test, classes=classes, config=config)
        predicted = Predictions(keys=test.keys, truth=truths[1], scores_NJ=scores_MJ, unreadable=unreadable)
        predictions[name] = predicted.average_groups(task.group_of) if task.group_of else predicted
    measured = np.linspace(0, len(features.keys) - 1, min(_MOST_CLIPS, len(features.keys))).astype(int)
    spread = features.select(measured.tolist())
    return FrozenScores(predictions=predictions, health=measure_features(dict(spread.pooled)))


@torch.no_grad()
def extract_features(model: Classifier, task: Task, keys: Sequence[str]) -> FrozenFeatures:
    """Return the features of the middle window of clips, without those of clips that cannot be read."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    config = ViewConfig(
        geometry=model.config.geometry,
        modalities=model.config.modalities,
        precision=Precision(compute="fp32"),
        segments=1,
        batch=16,
    )
    readable: list[str] = []
    parts: dict[str, list[Tensor]] = {}
    for batch in view_loader(task.shards, [task.index_of[key] for key in keys], config, device):
        faulty = {fault.position for fault in batch.faults}
        positions = range(batch.first_position, batch.first_position + len(batch))
        chosen = [row for row, position in enumerate(positions) if position < len(keys) and position not in faulty]
        readable += [keys[positions[row]] for row in chosen]
        video, audio = view_input(batch, config.geometry, config.modalities)
        for name, tokens_BNC in _modality_tokens(model, video, audio).items():
            parts.setdefault(name, []).append(tokens_BNC[chosen].float().cpu())
    model.train(training)
    tokens = {name: torch.cat(part) for name, part in parts.items()}
    return FrozenFeatures(
        keys=tuple(readable),
        pooled={name: value.mean(1) for name, value in tokens.items()},
        tokens={name: _average_neighbours(value) for name, value in tokens.items()},
    )


def _modality_tokens(model: Classifier, video: Tensor | None, audio: Tensor | None) -> dict[str, Tensor]:
    """Return the weighted sum of the encoder's layers, (B, N, C), by modality; of a new model their mean."""
    tokens = {}
    if video is not None:
        layers = model.encoder_video(video, None, tuple(range(model.config.video.depth))).layers
        tokens["video"] = weighted_layers(layers, model.layer_weights_video)
    if audio is not None:
        layers = model.encoder_audio(audio, None, tuple(range(model.config.audio.depth))).layers
        tokens["audio"] = weighted_layers(layers, model.layer_weights_audio)
    return tokens


def _average_neighbours(tokens_NKC: Tensor) -> Tensor:
    if tokens_NKC.shape[1] <= _MOST_TOKENS:
        return tokens_NKC
    averaged: Tensor = F.adaptive_avg_pool1d(tokens_NKC.transpose(1, 2), _MOST_TOKENS).transpose(1, 2)
    return averaged
