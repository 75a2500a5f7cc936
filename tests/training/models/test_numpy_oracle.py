"""The default paths equal an independent numpy model in float64: consistent masks, statistics of each DiER unit."""

from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from support.models import random_batch, random_masks, tiny_config
from support.numpy_model import Array, NumpyModel
from torch import Tensor, nn

CLIPS = 3
M = TypeVar("M", bound=nn.Module)
CONFIG = tiny_config()


def randomize(model: M) -> M:
    """Give every parameter and running statistic of a model a random value of a sensible size, in float64."""
    random = torch.Generator().manual_seed(1)
    model.double()
    with torch.no_grad():
        for name, x in (*model.named_parameters(), *model.named_buffers()):
            if x.is_floating_point() and "table" not in name and "sum_" not in name and "groups" not in name:
                noise = torch.randn(x.shape, generator=random, dtype=torch.float64)
                near_one = name.endswith("running_var") or ("norm" in name and name.endswith("weight"))
                scale = 1 / x[0].numel() ** 0.5 if x.ndim > 1 and not name.endswith(("tokens", "token")) else 0.3
                x.copy_(1 + 0.2 * noise.abs() if near_one else scale * noise)
    return model


def state_of(model: nn.Module) -> dict[str, Array]:
    return {name: x.detach().numpy().astype(np.float64).copy() for name, x in model.state_dict().items()}


def batch() -> tuple[Tensor, Tensor]:
    video, audio = random_batch(CONFIG, CLIPS)
    assert video is not None
    assert audio is not None
    return video.double(), audio.double()


def test_the_defaults_are_consistent_masks_and_statistics_of_each_unit() -> None:
    assert (CONFIG.batch_norm_statistics, CONFIG.encoder, CONFIG.fusion) == ("per_unit", "lgi", "iavcl")
    assert ModelConfig.__dataclass_fields__["batch_norm_statistics"].default == "per_unit"


@pytest.mark.parametrize("training", [False, True])
def test_fine_tuning_equals_the_numpy_model(training: bool) -> None:
    model = randomize(Classifier(CONFIG, 5)).train(training)
    video, audio = batch()
    oracle = NumpyModel(CONFIG, state_of(model))
    expected = oracle.classify(video.numpy(), audio.numpy(), training)
    np.testing.assert_allclose(model(video, audio).logits_BJ.detach().numpy(), expected, rtol=0, atol=1e-11)
    after = state_of(model)
    assert len(oracle.moments) == (4 if training else 0), "two units, two modalities"
    for block, unit, mean, variance in oracle.moments:
        for part, moment in (("mean", mean), ("var", variance)):
            name = f"{block}.norm.running_{part}"
            before = oracle.state[name][unit]
            np.testing.assert_allclose(after[name][unit], 0.9 * before + 0.1 * moment, rtol=0, atol=1e-12)
    if training:
        first, second = (mean for block, _, mean, _ in oracle.moments if block.endswith("video"))
        assert np.abs(first - second).max() > 0.01, "the units have distributions of their own"


def test_gradients_of_fine_tuning_equal_the_slope_of_the_numpy_model() -> None:
    model = randomize(Classifier(CONFIG, 5)).train()
    video, audio = batch()
    labels = torch.tensor([0, 3, 1])
    state = state_of(model)
    F.cross_entropy(model(video, audio).logits_BJ, labels).backward()
    random = np.random.default_rng(2)
    direction = {name: random.standard_normal(p.shape) * 0.05 for name, p in model.named_parameters()}
    slope = sum(
        float((direction[name] * parameter.grad.numpy()).sum())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    )

    def loss(step: float) -> float:
        moved = {name: x + step * direction[name] if name in direction else x for name, x in state.items()}
        logits = NumpyModel(CONFIG, moved).classify(video.numpy(), audio.numpy(), True)
        top = logits.max(1, keepdims=True)
        log_shares = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        return -float(log_shares[np.arange(CLIPS), labels.numpy()].mean())

    h = 1e-4
    numeric = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    assert slope == pytest.approx(numeric, rel=1e-6)


def test_pre_training_with_consistent_masks_equals_the_numpy_model() -> None:
    model = randomize(MaskedAutoencoder(CONFIG)).eval()
    video, audio = batch()
    masks = random_masks(CONFIG, CLIPS)
    out = model(video, audio, masks)
    oracle = NumpyModel(CONFIG, state_of(model))
    last, skips, shown, order = {}, {}, {}, {}
    for name, clips, visible_BV in (("video", video, masks.video_visible_BV), ("audio", audio, masks.audio_visible_BV)):
        regions = oracle.regions(name)
        shown[name] = [[[n for n in region if n in set(row)] for region in regions] for row in visible_BV.tolist()]
        assert {len(tokens) for clip in shown[name] for tokens in clip} == {visible_BV.shape[1] // len(regions)}, (
            "every region shows the same number of its own tokens"
        )
        layers = [oracle.encode(name, clip, tokens) for clip, tokens in zip(clips.numpy(), shown[name], strict=True)]
        order[name] = [[n for tokens in clip for n in tokens] for clip in shown[name]]
        last[name] = np.array([clip[-1][1] for clip in layers])
        skips[name] = [[clip[skip][1] for skip in CONFIG.skips] for clip in layers]
    context = np.concatenate([last[name].mean(1, keepdims=True) for name in ("video", "audio")], -1)
    fused = dict(zip(("video", "audio"), oracle.fuse(last["video"], last["audio"], context, False), strict=True))
    for name, predicted_BMP, target_BM in (
        ("video", out.video_BMP, masks.video_target_BM),
        ("audio", out.audio_BMP, masks.audio_target_BM),
    ):
        assert predicted_BMP is not None
        expected = [
            oracle.decode(name, fused[name][clip], skips[name][clip], order[name][clip], target_BM[clip].tolist())
            for clip in range(CLIPS)
        ]
        np.testing.assert_allclose(predicted_BMP.detach().numpy(), np.array(expected), rtol=0, atol=1e-11)
    for skip, (v, a) in enumerate(out.levels):
        for name, mean_BC in (("video", v), ("audio", a)):
            expected = [skips[name][clip][skip].mean(0) for clip in range(CLIPS)]
            np.testing.assert_allclose(mean_BC.detach().numpy(), expected, rtol=0, atol=1e-11)
