"""Drop path is a pure function of the clip's position: the same in any micro-batch, and again in a recomputation."""

import pytest
import torch
from avf_training.models.classifier import Classifier
from avf_training.models.drop_path import DropPath, drop_path_keys, number_drop_paths, set_drop_path_keys
from avf_training.models.presets import preset
from support.models import random_batch, tiny_config
from torch import nn
from torch.profiler import ProfilerActivity, profile


def drop(module: DropPath, keys_B: torch.Tensor, rows: int, branch: int = 0) -> torch.Tensor:
    set_drop_path_keys(module, keys_B)
    return module(torch.ones(rows, 1), branch)[:, 0]


def test_rows_are_dropped_at_the_rate_and_the_others_are_scaled() -> None:
    module = DropPath(0.3).train()
    factors_R = drop(module, drop_path_keys(0, 0, 2000), 10_000)
    assert sorted(set(factors_R.tolist())) == pytest.approx([0, 1 / 0.7])
    # 10,000 fair draws of 0.3 lie within 0.02 of it (four standard deviations); the seed fixes them.
    assert (factors_R == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(module.eval()(torch.ones(6, 1), 0), torch.ones(6, 1))


def test_a_clip_is_dropped_alike_in_any_batch() -> None:
    module = DropPath(0.5).train()
    whole_R = drop(module, drop_path_keys(7, 40, 16), 16 * 5)
    parts = [drop(module, drop_path_keys(7, 40 + first, 4), 4 * 5) for first in range(0, 16, 4)]
    assert torch.equal(whole_R, torch.cat(parts))


def test_seeds_positions_layers_branches_and_rows_are_drawn_apart() -> None:
    module, other = DropPath(0.5).train(), DropPath(0.5).train()
    other.layer = 1
    keys_B = drop_path_keys(0, 0, 512)
    draws = [
        drop(module, keys_B, 512),
        drop(module, keys_B, 512, branch=1),
        drop(other, keys_B, 512),
        drop(module, drop_path_keys(1, 0, 512), 512),
        drop(module, drop_path_keys(0, 512, 512), 512),
        drop(module, keys_B, 1024).view(512, 2)[:, 1],
    ]
    for number, first in enumerate(draws):
        for second in draws[number + 1 :]:
            assert 0.4 < (first == second).float().mean().item() < 0.6


def test_every_drop_path_of_a_classifier_has_a_number_of_its_own() -> None:
    model = Classifier(preset("nano"), 3, drop_path=0.3)
    numbers = [module.layer for module in model.modules() if isinstance(module, DropPath)]
    assert len(numbers) > 10
    assert numbers == list(range(len(numbers)))


def test_recomputed_activations_drop_the_same_rows() -> None:
    model = Classifier(tiny_config("lgi", "iavcl"), 3, drop_path=0.3).train()
    set_drop_path_keys(model, drop_path_keys(0, 0, 4))
    video_BCTHW, audio_B1MF = random_batch(model.config, 4)
    gradients = []
    for recompute in (False, True):
        model.checkpoint_activations(recompute)
        model.zero_grad()
        model(video_BCTHW, audio_B1MF).logits_BJ.sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_draws_are_those_of_earlier_versions() -> None:
    """A run that goes on in a later version drops what it would have dropped; the numbers were drawn layer by layer."""
    module = DropPath(0.3).train()
    module.layer = 5
    dropped_R = drop(module, drop_path_keys(3, 17, 8), 8 * 4, branch=2) == 0
    assert "".join(str(int(value)) for value in dropped_R) == "10101010000000010001000100010001"


def test_draws_cost_no_more_with_more_layers() -> None:
    counts = []
    for layers in (2, 20):
        modules = nn.ModuleList(DropPath(0.3) for _ in range(layers)).train()
        number_drop_paths(modules)
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            set_drop_path_keys(modules, drop_path_keys(0, 0, 4))
            for module in modules:
                module(torch.ones(12, 1), 0)
        counts.append(sum(event.name == "aten::bitwise_and" for event in recorded.events()))
    assert counts[0] == counts[1] > 0


def test_rows_that_do_not_fit_the_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="7 rows are no multiple of 2 clips"):
        drop(DropPath(0.5).train(), drop_path_keys(0, 0, 2), 7)
