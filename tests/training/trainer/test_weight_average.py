"""The moving average of the weights follows its formula, and leaves training as it is."""

import pytest
import torch
from avf_training.trainer.weight_average import AveragingAdamW
from torch import nn

RATES = {"lr": 0.1, "weight_decay": 0.1, "fused": True}


def train(optimizer: torch.optim.AdamW, model: nn.Module, steps: int) -> list[torch.Tensor]:
    """Return the weights after each step on the same data."""
    weights = []
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((2, 3), 1.0 + step)).square().sum().backward()
        optimizer.step()
        weights.append(model.weight.detach().clone())
    return weights


def make_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def test_the_average_is_that_of_its_formula_and_training_does_not_see_it() -> None:
    plain, averaged = make_model(), make_model()
    optimizer = AveragingAdamW(averaged.parameters(), average_decay=0.5, **RATES)
    expected = train(torch.optim.AdamW(plain.parameters(), **RATES), plain, 30)
    assert all((a == b).all() for a, b in zip(train(optimizer, averaged, 30), expected, strict=True))
    average = expected[0]
    for number, weights in enumerate(expected[1:], 2):
        stayed = min(0.5, (1 + number) / (10 + number))
        average = stayed * average + (1 - stayed) * weights
    with optimizer.averaged():
        assert torch.allclose(averaged.weight, average, atol=1e-6)
    assert (averaged.weight == expected[-1]).all(), "given back bit for bit"
    optimizer.take_average()
    assert torch.allclose(averaged.weight, average, atol=1e-6)


def test_a_step_that_the_scaler_skips_does_not_count() -> None:
    """In fp16 the first steps are often skipped, until the scale fits."""
    averages = []
    for scales in ([1.0, 1.0, 1.0], [float("inf"), 1.0, float("inf"), 1.0, 1.0]):
        model = make_model()
        optimizer = AveragingAdamW(model.parameters(), average_decay=0.9, **RATES)
        scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
        for scale in scales:
            optimizer.zero_grad()
            scaler.scale(scale * model(torch.ones(2, 3)).square().sum()).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update(1.0)
            assert all("average" in state for state in optimizer.state.values()), "checkpoints hold it from the start"
        optimizer.take_average()
        averages.append(model.weight.detach().clone())
    assert (averages[0] == averages[1]).all()


def test_before_the_first_step_there_is_no_average() -> None:
    model = make_model()
    before = model.weight.detach().clone()
    with AveragingAdamW(model.parameters(), average_decay=0.9, **RATES).averaged():
        assert (model.weight == before).all()


def test_weights_come_back_after_an_error() -> None:
    model = make_model()
    optimizer = AveragingAdamW(model.parameters(), average_decay=0.9, **RATES)
    last = train(optimizer, model, 3)[-1]
    with pytest.raises(RuntimeError, match="out of memory"), optimizer.averaged():
        raise RuntimeError("out of memory")
    assert (model.weight == last).all()
