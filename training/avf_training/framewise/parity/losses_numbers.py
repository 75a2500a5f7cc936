"""Losses and metrics beside those that the code of SUN, its library and NetEase computed."""

import json
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avf_training.conversion.parity import ParityRow
from avf_training.framewise import losses
from avf_training.framewise.metrics import score_action_units, score_expressions, score_valence_arousal
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_pairs

DOUBLE, SINGLE = 1e-12, 2e-5
STORED_SINGLE = 2e-7  # of numbers that the authors' code computed in float32
BASE_SHARE = 0.7  # of the first labels, where a loss is of two


def compare_losses(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return the losses in both precisions, their gradients, and the metrics."""
    theirs = json.loads(str(oracle["meta.values"]))
    rows = []
    for dtype, tolerance in ((torch.float64, DOUBLE), (torch.float32, SINGLE)):
        precision = str(dtype).removeprefix("torch.")
        exact, rounded, gradients = _losses(oracle, theirs, dtype)
        rows.append(compare_pairs(file, "losses", exact, tolerance, precision))
        limit = max(tolerance, STORED_SINGLE)
        rows.append(compare_pairs(file, "losses stored in float32", rounded, limit, precision))
        rows += [
            compare_pairs(file, "gradients", pairs, max(tolerance, limit), precision) for pairs, limit in gradients
        ]
    rows.append(compare_pairs(file, "metrics", _metrics(oracle, theirs), DOUBLE))
    return rows


def _losses(
    oracle: OracleNumbers, theirs: dict[str, Any], dtype: torch.dtype
) -> tuple[list[Pair], list[Pair], list[tuple[list[Pair], float]]]:
    """Return losses that are stored in float64, those stored in float32, and gradients with their tolerance."""
    sun, sun_gradients = _sun_losses(oracle, theirs, dtype)
    netease, netease_gradients = _netease_losses(oracle, theirs, dtype)
    derived = ("LogCosh derived", "derived AU")
    exact = [pair for pair in (*sun, *netease) if not _is_single(pair[0]) or pair[0].startswith(derived)]
    rounded = [pair for pair in (*sun, *netease) if pair not in exact]
    return exact, rounded, [(sun_gradients, DOUBLE), (netease_gradients, STORED_SINGLE)]


def _is_single(name: str) -> bool:
    return name.startswith(("netease", "LogCosh torchmetrics"))


def _with_gradient(values: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def _sun_losses(oracle: OracleNumbers, theirs: dict[str, Any], dtype: torch.dtype) -> tuple[list[Pair], list[Pair]]:
    predicted, truth = _with_gradient(oracle["va.pred"], dtype), torch.tensor(oracle["va.target"], dtype=dtype)
    together = losses.valence_arousal_loss(predicted, truth)
    (gradient,) = torch.autograd.grad(together, predicted)
    valence, arousal = ((predicted[..., channel], truth[..., channel]) for channel in (0, 1))
    values = {
        "sun.VALoss(1,1)": together,
        "sun.audio VALoss(alpha=1,beta=1) on (n,2)": together,
        "sun.CCCLoss valence": losses.concordance_loss(*valence),
        "sun.CCCLoss arousal": losses.concordance_loss(*arousal),
        "sun.CCCLoss constant pred": losses.concordance_loss(torch.full_like(valence[1], 0.3), valence[1]),
        "LogCosh torchmetrics (mean over n)": losses.log_cosh_loss(*valence),
        "LogCosh derived float64 mean": losses.log_cosh_loss(*valence),
        "LogCosh derived float64 sum (paper eq 3)": losses.log_cosh_loss(*valence, reduction="sum"),
        "RMSELoss": losses.root_mean_square_loss(*valence),
    }
    logits, labels = _with_gradient(oracle["expr.logits"], dtype), torch.tensor(oracle["expr.labels"])
    weights = torch.tensor(oracle["expr.weights"], dtype=dtype)
    focal = partial(losses.soft_focal_loss, logits, F.one_hot(labels, 8).to(dtype), class_weights_C=weights)
    gradients: list[Pair] = [("va.VALoss.grad", gradient, oracle["va.VALoss.grad"])]
    for gamma in (0.0, 2.0):
        values[f"SoftFocalLossForSequence gamma={gamma}"] = focal(gamma=gamma)
        name = f"expr.softfocal_gamma{gamma:.0f}.grad"
        gradients.append((name, torch.autograd.grad(focal(gamma=gamma), logits)[0], oracle[name]))
    values["audio FocalLoss gamma=2 (hard labels)"] = values["SoftFocalLossForSequence gamma=2.0"]
    values["audio SoftFocalLossWrapper gamma=0"] = values["SoftFocalLossForSequence gamma=0.0"]
    name = "CrossEntropyLoss(weight,label_smoothing=.2) (train_expr_audio)"
    values[name] = losses.weighted_expression_loss(logits, labels, weights, label_smoothing=0.2)
    return [(name, value.detach().numpy(), theirs[name]) for name, value in values.items()], gradients


def _netease_losses(oracle: OracleNumbers, theirs: dict[str, Any], dtype: torch.dtype) -> tuple[list[Pair], list[Pair]]:
    units, unit_labels = _with_gradient(oracle["au.logits"], dtype), torch.tensor(oracle["au.labels"], dtype=dtype)
    unit_loss = losses.weighted_action_unit_loss(units, unit_labels)
    (unit_gradient,) = torch.autograd.grad(unit_loss, units)
    predicted = _with_gradient(1.4 * oracle["va.pred"], dtype)
    unscaled, truth = (torch.tensor(oracle[name], dtype=dtype) for name in ("va.pred", "va.target"))
    affect = losses.valence_arousal_loss(predicted, truth, clamp=True)
    (gradient,) = torch.autograd.grad(affect, predicted)
    expressions = losses.weighted_expression_loss(
        torch.tensor(oracle["exp.logits"], dtype=dtype), torch.tensor(oracle["exp.labels"])
    )
    values = {
        "netease AU loss (BLB)": unit_loss,
        "derived AU loss float64 (eq 1: mean over n and 12 of w_j*bce)": unit_loss,
        "netease VA loss (BLB) on 1.4*pred": affect,
        "share of clamped predictions with zero grad": (predicted[..., 0].abs() > 1).to(dtype).mean(),
        "netease EXP loss (BLB) = weighted CE, divides by sum of weights of the labels": expressions,
        "netease AU weights": torch.tensor(losses.AU_WEIGHTS, dtype=dtype),
        "netease EXP weights": torch.tensor(losses.EXPRESSION_WEIGHTS, dtype=dtype),
        "netease AU loss (DCL, alpha .7, second labels 1-aut, x10)": losses.two_label_loss(
            lambda labels: losses.weighted_action_unit_loss(units, labels),
            (unit_labels, 1 - unit_labels),
            BASE_SHARE,
            losses.TWO_LABELS_FACTOR["au"],
        ),
        "netease VA loss (DCL alpha .7, second labels y.flip(0), 0.5*(V+A))": losses.two_label_loss(
            lambda labels: losses.valence_arousal_loss(unscaled, labels, clamp=True),
            (truth, truth.flip(0)),
            BASE_SHARE,
            losses.TWO_LABELS_FACTOR["va"],
        ),
    }
    gradients: list[Pair] = [
        ("au.grad", unit_gradient, oracle["au.grad"]),
        ("va.netease.grad_v", gradient[..., :1], oracle["va.netease.grad_v"]),
    ]
    return [(name, value.detach().numpy(), theirs[name]) for name, value in values.items()], gradients


def _metrics(oracle: OracleNumbers, theirs: dict[str, Any]) -> list[Pair]:
    truth, predicted = (oracle[name].astype(np.float64).reshape(-1, 2) for name in ("va.target", "va.pred"))
    score = score_valence_arousal(truth, predicted)
    reads_valence = score_valence_arousal(truth, predicted, arousal_reads="valence")
    dropped = truth.copy()
    dropped[5:9] = np.nan
    without_missing = score_valence_arousal(dropped, predicted)
    clipped = score_valence_arousal(truth, (1.4 * predicted).clip(-1, 1))
    probabilities = 1 / (1 + np.exp(-oracle["au.logits"].astype(np.float64).reshape(-1, 12)))
    units = score_action_units(oracle["au.labels"].astype(np.int64).reshape(-1, 12), probabilities)
    expressions = score_expressions(
        oracle["exp.labels"].reshape(-1), oracle["exp.logits"].reshape(-1, 8).argmax(-1).astype(np.int64)
    )
    values: dict[str, Any] = {
        "metric.np_ccc valence": score.valence.value,
        "metric.np_ccc arousal": score.arousal.value,
        "metric.np_ccc valence with NaN targets at rows 5..8 (dropped)": without_missing.valence.value,
        "audio.v_score (3-d input)": score.valence.value,
        "audio.a_score (3-d input) BUG: reads channel 0": reads_valence.arousal.value,
        "audio.va_score": reads_valence.mean.value,
        "netease AU F1s (thr >=0.5)": units.each,
        "netease AU mean F1": units.mean.value,
        "netease EXP F1s": expressions.each,
        "netease EXP macro F1": expressions.mean.value,
        "netease VA CCC on clip(1.4*pred)": (clipped.valence.value, clipped.arousal.value),
    }
    return [(name, value, theirs[name]) for name, value in values.items()]
