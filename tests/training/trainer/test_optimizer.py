"""The schedule and the weight-decay groups are equal to those of the authors' code."""

import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from avf_training.conversion.authors_state_dict import authors_names
from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.optimizer import Schedule, adamw, has_weight_decay, layer_scale, schedule
from support.models import tiny_config

CONFIG = OptimConfig(base_lr=1.5e-4, min_lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05, warmup_epochs=20)


def test_the_schedule_equals_that_of_the_authors_code(oracles: Path) -> None:
    oracle = json.loads((oracles / "optim_and_sampling.json").read_text())["cosine"]
    args = oracle["args"]
    cosine = Schedule(
        peak=args["base"],
        end=args["final"],
        warmup_steps=args["warmup_epochs"] * args["niter"],
        steps=args["epochs"] * args["niter"],
    )
    assert [cosine.lr(step) for step in range(cosine.steps)] == pytest.approx(oracle["values"], rel=1e-12)


def test_weight_decay_equals_that_of_the_authors_code(oracles: Path) -> None:
    oracle = json.loads((oracles / "optim_and_sampling.json").read_text())["avf_pt_tiny"]["params"]
    model = MaskedAutoencoder(tiny_config())
    names, checked = authors_names(model), set()
    for name, parameter in model.named_parameters():
        for theirs in names[name]:
            assert (oracle[theirs]["wd"] > 0) == has_weight_decay(name, parameter, "authors_code"), name
            checked.add(theirs)
    assert checked == oracle.keys()


def test_learning_rates_scale_with_the_batch() -> None:
    cosine = schedule(CONFIG, 164 * 8, 1000, 100)
    assert cosine.lr(0) == 0
    assert cosine.lr(99) == cosine.lr(100) == pytest.approx(1.5e-4 * 164 * 8 / 256)
    assert cosine.lr(999) == pytest.approx(1e-5 * 164 * 8 / 256, rel=0.01)
    assert schedule(CONFIG, 256, 10, 100).lr(9) == pytest.approx(1.5e-4), "a run shorter than its warm-up"
    assert all(a >= b for a, b in zip(map(cosine.lr, range(100, 999)), map(cosine.lr, range(101, 1000)), strict=True))


def test_vectors_and_tokens_have_no_weight_decay() -> None:
    model = MaskedAutoencoder(tiny_config())
    optimizer = adamw(model, CONFIG)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]
    spared = {id(p) for p in optimizer.param_groups[1]["params"]}
    named = {name for name, p in model.named_parameters() if id(p) in spared}
    assert {"decoder_video.mask_token", "decoder_audio.mask_token", "encoder_audio.region_tokens"} <= named
    assert all(p.ndim <= 1 or "token" in name for name, p in model.named_parameters() if id(p) in spared)
    learning = sum(p.requires_grad for p in model.parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == learning


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"min_lr": 1.0}, "min_lr 1.0 must lie between"),
        ({"betas": (0.9,)}, r"betas \[0.9\] must be two"),
        ({"weight_decay": -1.0}, "must not be below 0"),
        ({"clip_norm": 0.0}, "clip_norm 0.0 must be above 0"),
    ],
)
def test_an_invalid_setting_is_refused_with_the_reason(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        OptimConfig(**{**vars(CONFIG), **change})


def test_a_step_of_adamw_changes_the_weights() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = adamw(model, CONFIG)
    before = model.weight.clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)


@pytest.mark.parametrize("rule", ["authors_code", "exempt_tokens"])
def test_layer_decay_of_fine_tuning_equals_that_of_the_authors_code(
    oracles: Path, rule: Literal["authors_code", "exempt_tokens"]
) -> None:
    oracle = json.loads((oracles / "optim_and_sampling.json").read_text())["avf_ft_tiny"]["params"]
    model = Classifier(tiny_config(), 7)
    names, checked = authors_names(model), set()
    for name, parameter in model.named_parameters():
        for theirs in names[name]:
            scale, decay = layer_scale(name, 0.75, 4, 2, rule), has_weight_decay(name, parameter, rule)
            if rule == "authors_code" or not name.endswith("region_tokens"):
                assert (scale, 0.05 * decay) == (oracle[theirs]["lr_scale"], oracle[theirs]["wd"]), name
            else:
                assert (scale, decay) == (0.75**7, False), "region tokens lie with the embedding"
            checked.add(theirs)
    assert checked == oracle.keys()
