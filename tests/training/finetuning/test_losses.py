"""The losses against imbalance have the values of their formulas, however a batch is cut."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from avf_training.finetuning.losses import ClassBalance, class_loss
from avf_training.tasks.class_imbalance import ImbalanceConfig

COUNTS = [20, 3, 1]


def draw_batch(clips: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits (B, 3), labels (B,) and soft targets (B, 3)."""
    random = torch.Generator().manual_seed(3)
    logits_B3 = 3 * torch.randn(clips, 3, generator=random)
    labels_B = torch.randint(3, (clips,), generator=random)
    return logits_B3, labels_B, torch.rand(clips, 3, generator=random).softmax(-1)


def test_without_settings_the_loss_is_the_cross_entropy() -> None:
    logits_B3, labels_B, soft_B3 = draw_batch()
    plain = ClassBalance.of(ImbalanceConfig(), COUNTS)
    assert plain == ClassBalance()
    assert class_loss(logits_B3, F.one_hot(labels_B).float(), plain).item() == pytest.approx(
        F.cross_entropy(logits_B3, labels_B).item()
    )
    assert class_loss(logits_B3, soft_B3, plain).item() == pytest.approx(F.cross_entropy(logits_B3, soft_B3).item())


def test_class_weights_multiply_each_clip() -> None:
    logits_B3, labels_B, _ = draw_batch()
    balance = ClassBalance.of(ImbalanceConfig(weights="balanced"), COUNTS)
    weight_3 = torch.tensor([24 / (3 * count) for count in COUNTS])
    expected = F.cross_entropy(logits_B3, labels_B, weight_3, reduction="sum") / len(labels_B)
    assert class_loss(logits_B3, F.one_hot(labels_B).float(), balance).item() == pytest.approx(expected.item())


def test_logit_adjustment_adds_the_logarithms_of_the_shares() -> None:
    logits_B3, labels_B, _ = draw_batch()
    balance = ClassBalance.of(ImbalanceConfig(logit_adjustment=1.5), COUNTS)
    # Menon et al., eq. 10, written out: log(1 + sum over the others of (share' / share)^tau * exp(logit' - logit)).
    share_3, logits = np.array(COUNTS) / 24, logits_B3.double().numpy()
    expected = [
        np.log(sum((share_3[other] / share_3[y]) ** 1.5 * np.exp(row[other] - row[y]) for other in range(3)))
        for row, y in zip(logits, labels_B.tolist(), strict=True)
    ]
    assert class_loss(logits_B3, F.one_hot(labels_B).float(), balance).item() == pytest.approx(np.mean(expected), 1e-5)


def test_the_adjusted_loss_asks_an_uninformed_model_for_equal_logits() -> None:
    """Without information the plain loss is least where logits follow the shares: every clip is of the large class."""
    logits_3 = torch.zeros(3, requires_grad=True)
    share_13 = torch.tensor([COUNTS]) / 24
    class_loss(logits_3[None], share_13, ClassBalance.of(ImbalanceConfig(logit_adjustment=1.0), COUNTS)).backward()
    assert logits_3.grad is not None
    assert logits_3.grad.abs().max() < 1e-6
    logits_3.grad = None
    class_loss(logits_3[None], share_13, ClassBalance()).backward()
    assert logits_3.grad.abs().max() > 0.4


def test_balanced_sampling_leaves_nothing_to_adjust() -> None:
    balance = ClassBalance.of(ImbalanceConfig(sampling="balanced", weights="balanced", logit_adjustment=1.0), COUNTS)
    assert balance.weights_J is not None
    assert balance.added_J is not None
    assert balance.weights_J.tolist() == pytest.approx([1, 1, 1])
    assert balance.added_J.tolist() == pytest.approx([np.log(1 / 3)] * 3), "equal for all, which changes no probability"


def test_the_focal_loss_has_its_factor() -> None:
    logits_B3, labels_B, soft_B3 = draw_batch()
    p = np.exp(logits_B3.double().numpy())
    p /= p.sum(1, keepdims=True)
    right = p[np.arange(len(p)), labels_B.numpy()]
    expected = np.mean((1 - right) ** 2 * -np.log(right))
    balance = ClassBalance.of(ImbalanceConfig(focal=2.0), COUNTS)
    assert class_loss(logits_B3, F.one_hot(labels_B).float(), balance).item() == pytest.approx(expected, rel=1e-5)
    soft = np.mean((soft_B3.numpy() * (1 - p) ** 2 * -np.log(p)).sum(1))
    assert class_loss(logits_B3, soft_B3, balance).item() == pytest.approx(soft, rel=1e-5)


@pytest.mark.parametrize("focal", [0.5, 2.0])
def test_the_focal_loss_has_a_gradient_where_a_clip_is_certain(focal: float) -> None:
    logits_13 = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    class_loss(logits_13, torch.tensor([[0.9, 0.05, 0.05]]), ClassBalance(focal=focal)).backward()
    assert logits_13.grad is not None
    assert logits_13.grad.isfinite().all()


def test_the_loss_of_a_batch_is_the_mean_of_its_micro_batches() -> None:
    """Weights are divided by no sum of a batch: accumulation and more ranks would else change the loss."""
    logits_B3, _, soft_B3 = draw_batch()
    balance = ClassBalance.of(ImbalanceConfig(weights="balanced", logit_adjustment=1.0, focal=1.0), COUNTS)
    parts = [class_loss(logits_B3[n : n + 3], soft_B3[n : n + 3], balance).item() for n in range(0, 12, 3)]
    assert np.mean(parts) == pytest.approx(class_loss(logits_B3, soft_B3, balance).item(), rel=1e-6)
