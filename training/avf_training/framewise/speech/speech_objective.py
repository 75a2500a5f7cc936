"""Losses and scores of acoustic models. B windows, S steps, W seconds, K windows of a set."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avf_training.framewise.losses import (
    largest_over_each,
    soft_focal_loss,
    valence_arousal_loss,
    weighted_expression_loss,
)
from avf_training.framewise.metrics import EXPRESSIONS, score_expressions, score_valence_arousal
from avf_training.framewise.models.speech_encoder import SpeechModel, normalize_wave
from avf_training.framewise.models.speech_heads import SpeechOutput
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.speech.speech_batches import SpeechBatch, SpeechLoader
from avf_training.framewise.speech.speech_recipe import SpeechRecipe
from avf_training.trainer.train_step import Forward

SCORE = "score"  # that selects: the mean CCC, the macro F1, or the mean of both


def speech_forward(recipe: SpeechRecipe, counts_C: Tensor) -> Forward[SpeechBatch]:
    """Return the forward pass of a training step.

    Valence and arousal alone have the concordance loss over the whole batch; expressions alone a cross-entropy weighted
    by the training set; both their concordance loss and a focal loss without focus (gamma 0).

    Args:
        counts_C: seconds of each expression in the training windows.
    """
    weights_C = largest_over_each(counts_C.float())

    def forward(model: nn.Module, batch: SpeechBatch) -> tuple[Tensor, dict[str, Tensor]]:
        # Dropout of a step depends on the step alone, so that a run that was killed goes on with the same bits.
        torch.manual_seed(recipe.seed * 1_000_003 + batch.number)
        output: SpeechOutput = model(normalize_wave(batch.wave_BN))
        losses: dict[str, Tensor] = {}
        if output.valence_arousal_BS2 is not None:
            losses["concordance"] = valence_arousal_loss(output.valence_arousal_BS2, batch.affect_BS2)
        if output.expressions_BW8 is not None:
            losses["expression"] = _expression_loss(output.expressions_BW8, batch.expressions_BW, recipe, weights_C)
        return torch.stack(list(losses.values())).sum(), losses if len(losses) > 1 else {}

    return forward


def _expression_loss(logits_BW8: Tensor, labels_BW: Tensor, recipe: SpeechRecipe, weights_C: Tensor) -> Tensor:
    if recipe.task == "both":
        return soft_focal_loss(logits_BW8, F.one_hot(labels_BW, len(EXPRESSIONS)).to(logits_BW8.dtype), gamma=0.0)
    return weighted_expression_loss(
        logits_BW8, labels_BW, weights_C.to(logits_BW8.device), label_smoothing=recipe.label_smoothing
    )


def set_training(model: SpeechModel, open_layers: int) -> None:
    """Set train mode of what learns; frozen parts of the encoder have no dropout and skip no layer."""
    model.train()
    model.encoder.eval()
    layers = list(model.encoder.encoder.transformer.layers)
    for layer in layers[len(layers) - open_layers :] if open_layers else ():
        layer.train()


@torch.no_grad()
def score_windows(model: SpeechModel, loader: SpeechLoader, options: ProtocolOptions) -> dict[str, float]:
    """Return the scores of a set: over all steps of all its windows together, as the SUN team's table has them.

    None is defined, and all are nan, where an output is nan or infinite.
    """
    affect, affect_truth, labels, label_truth = [], [], [], []
    is_finite = True
    for batch in loader.batches():
        output: SpeechOutput = model(normalize_wave(batch.wave_BN))
        outputs = (output.valence_arousal_BS2, output.expressions_BW8)
        is_finite &= all(bool(each.isfinite().all()) for each in outputs if each is not None)
        if output.valence_arousal_BS2 is not None:
            affect.append(output.valence_arousal_BS2.double().cpu().numpy().reshape(-1, 2))
            affect_truth.append(batch.affect_BS2.double().cpu().numpy().reshape(-1, 2))
        if output.expressions_BW8 is not None:
            labels.append(output.expressions_BW8.argmax(-1).cpu().numpy().reshape(-1))
            label_truth.append(batch.expressions_BW.cpu().numpy().reshape(-1))
    scores: dict[str, float] = {}
    if affect:
        score = score_valence_arousal(
            np.concatenate(affect_truth), np.concatenate(affect), arousal_reads=options.audio_arousal_reads
        )
        for name, part in (("mean CCC", score.mean), ("CCC valence", score.valence), ("CCC arousal", score.arousal)):
            scores[name] = float("nan") if part.value is None else float(part.value)
    if labels:
        scores["macro F1"] = float(
            score_expressions(np.concatenate(label_truth), np.concatenate(labels)).mean.value or 0
        )
    chosen = [scores[name] for name in ("mean CCC", "macro F1") if name in scores]
    scores = {SCORE: float(np.mean(chosen)), **scores}
    return scores if is_finite else dict.fromkeys(scores, float("nan"))


@torch.no_grad()
def has_finite_outputs(model: SpeechModel, loader: SpeechLoader) -> bool:
    """Return whether a model in eval mode gives numbers alone for the windows of a set, neither nan nor infinity."""
    for batch in loader.batches():
        output: SpeechOutput = model(normalize_wave(batch.wave_BN))
        for each in (output.valence_arousal_BS2, output.expressions_BW8):
            if each is not None and not each.isfinite().all():
                return False
    return True
