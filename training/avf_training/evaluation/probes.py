"""Probes of frozen features: how much of the labels a small model reads from them.

linear: logistic regression (classes) or ridge regression (dimensions) of standardized features.
knn: a vote of the nearest training clips by the cosine, weighted by exp(cosine / temperature) (Wu et al. 2018).
attentive: a learned query that attends to the tokens of each modality, and a linear head (Yu et al. 2022).

Shapes: N training clips, M test clips, C width, K tokens, J outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.evaluation.metrics import Floats

ProbeName = Literal["linear", "knn", "attentive"]
PROBES: tuple[ProbeName, ...] = ("linear", "knn", "attentive")
_TEMPERATURE = 0.07  # of the votes
_RIDGE = 1.0  # penalty on the squared weights of standardized features
_STEPS, _RATE, _DECAY = 200, 1e-2, 0.05  # of AdamW over all training clips at once


@dataclass(frozen=True, kw_only=True)
class FrozenFeatures:
    """Features of clips by modality, from a model that no longer learns."""

    keys: tuple[str, ...]  # of the clips
    pooled: Mapping[str, Tensor]  # modality -> (N, C) mean over the tokens
    tokens: Mapping[str, Tensor]  # modality -> (N, K, C)

    def joined(self) -> Floats:
        """Return the means of all modalities beside each other, (N, sum of C)."""
        joined: Floats = torch.cat(list(self.pooled.values()), 1).double().numpy()
        return joined

    def select(self, rows: Sequence[int]) -> "FrozenFeatures":
        """Return the features of some clips."""
        index = torch.tensor(list(rows), dtype=torch.long)
        return FrozenFeatures(
            keys=tuple(self.keys[row] for row in rows),
            pooled={name: value[index] for name, value in self.pooled.items()},
            tokens={name: value[index] for name, value in self.tokens.items()},
        )


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Settings of the probes."""

    neighbours: int = 20  # training clips that vote for a test clip
    seed: int = 0  # of the attentive probe's first weights

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise UserError(f"neighbours {self.neighbours} must be at least 1")


def check_probes(names: Sequence[str]) -> list[ProbeName]:
    """Return the names as those of probes. Raises UserError where none is named, or one that does not exist."""
    probes = [probe for probe in PROBES if probe in names]
    unknown = [name for name in names if name not in PROBES]
    if unknown or not probes:
        raise UserError(f"no such probe: {', '.join(unknown) or 'none is named'}; the probes are {', '.join(PROBES)}")
    return probes


def run_probe(
    name: ProbeName, train: FrozenFeatures, truth: Floats, test: FrozenFeatures, *, classes: int, config: ProbeConfig
) -> Floats:
    """Return scores of the test clips, (M, J): probabilities of classes, or dimensions.

    Args:
        name: the probe.
        train: features that it learns from.
        truth: (N,) class numbers, or (N, D) dimensions.
        test: features that it is asked about.
        classes: number of classes; 0 for dimensions.
        config: settings of the probes.
    """
    if name == "attentive":
        return _attend(train, truth, test, classes, config.seed)
    train_NC, test_MC = train.joined(), test.joined()
    if name == "knn":
        return knn(train_NC, truth, test_MC, classes=classes, neighbours=config.neighbours)
    return _regress(train_NC, truth, test_MC, classes)


def knn(train_NC: Floats, truth: Floats, test_MC: Floats, *, classes: int, neighbours: int) -> Floats:
    """Return the weighted vote, or for dimensions the weighted mean, of the nearest training clips, (M, J)."""
    unit = [features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12) for features in
            (train_NC, test_MC)]  # fmt: skip
    cosine_MN = unit[1] @ unit[0].T
    nearest_MK = np.argsort(-cosine_MN, axis=1, kind="stable")[:, :neighbours]
    weight_MK = np.exp((np.take_along_axis(cosine_MN, nearest_MK, 1) - 1) / _TEMPERATURE)
    weight_MK /= weight_MK.sum(1, keepdims=True)
    values_NJ = np.eye(classes)[truth.astype(int)] if classes else truth
    scores: Floats = np.einsum("mk,mkj->mj", weight_MK, values_NJ[nearest_MK])
    return scores


def _regress(train_NC: Floats, truth: Floats, test_MC: Floats, classes: int) -> Floats:
    from sklearn.linear_model import LogisticRegression, Ridge  # two seconds to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = LogisticRegression(C=1 / _RIDGE, max_iter=2000, tol=1e-7) if classes else Ridge(alpha=_RIDGE)
    model = make_pipeline(StandardScaler(), head).fit(train_NC, truth.astype(int) if classes else truth)
    if not classes:
        return np.asarray(model.predict(test_MC), float).reshape(len(test_MC), -1)
    scores_MJ = np.zeros((len(test_MC), classes))
    scores_MJ[:, model[-1].classes_] = model.predict_proba(test_MC)  # a class without a training clip has none
    return scores_MJ


class _AttentiveHead(nn.Module):
    """A learned query for each modality that attends to its tokens, and a linear head on what they take."""

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        self.keys = nn.ModuleDict({name: nn.Linear(width, width) for name, width in widths.items()})
        self.queries = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name, width in widths.items()})
        self.head = nn.Linear(sum(widths.values()), outputs)

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        taken = []
        for name, token_NKC in tokens.items():
            share_NK = (self.keys[name](token_NKC) @ self.queries[name] / token_NKC.shape[-1] ** 0.5).softmax(-1)
            taken.append((share_NK[..., None] * token_NKC).sum(1))
        logits: Tensor = self.head(torch.cat(taken, -1))
        return logits


def _attend(train: FrozenFeatures, truth: Floats, test: FrozenFeatures, classes: int, seed: int) -> Floats:
    outputs = classes or truth.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = _AttentiveHead({name: tokens.shape[-1] for name, tokens in train.tokens.items()}, outputs)
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    target = torch.tensor(truth, dtype=torch.long if classes else torch.float32)
    # Standardized by the training tokens, as the linear probe's features are.
    scales = {name: (value.mean((0, 1)), value.std((0, 1)) + 1e-6) for name, value in train.tokens.items()}
    tokens = _standardize(train.tokens, scales)
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimizer.zero_grad(set_to_none=True)
            answer = head(tokens)
            loss = F.cross_entropy(answer, target) if classes else F.mse_loss(answer, target)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        answer = head(_standardize(test.tokens, scales))
    scores: Floats = (answer.softmax(-1) if classes else answer).double().numpy()
    return scores


def _standardize(tokens: Mapping[str, Tensor], scales: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    return {name: (value - scales[name][0]) / scales[name][1] for name, value in tokens.items()}
