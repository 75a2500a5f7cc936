"""The final and visual fusions have the authors' sizes, and their steps of time are what they say."""

from typing import Literal

import pytest
import torch
from avf_training.framewise.models.final_fusion import AttentionFusion, FinalVersion, final_fusion_model
from avf_training.framewise.models.layers import SequenceAttention
from avf_training.framewise.models.visual_fusion import VisualFusion
from torch import Tensor, nn

UNUSED = 512  # parameters of the authors' layer of width 256 that it never uses; ours has none


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def random_batch(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


@pytest.mark.parametrize(
    ("version", "parameters"), [("v1", 788_226), ("v3", 1_116_162), ("v4", 328_450), ("v5", 1_116_162)]
)
def test_final_fusions_have_the_authors_parameters(version: FinalVersion, parameters: int) -> None:
    assert count(final_fusion_model(version)) == parameters


@pytest.mark.parametrize("version", ["v1", "v3", "v4", "v5"])
def test_final_fusions_answer_each_step_of_video(version: FinalVersion) -> None:
    model = final_fusion_model(version, 8, 24, 16).double().eval()
    out = model(random_batch(3, 4, 24), random_batch(3, 20, 16))
    assert out.shape == (3, 20, 8)
    different = {"v1": 20, "v3": 4, "v4": 1, "v5": 4}[version]
    assert len(torch.unique(out[0], dim=0)) == different
    assert torch.equal(out[:, :1].expand(-1, 20 // different, -1), out[:, : 20 // different])


@pytest.mark.parametrize("version", ["v1", "v3", "v5"])
def test_both_streams_change_every_answer(version: FinalVersion) -> None:
    model = final_fusion_model(version, 2, 24, 16).double().eval()
    audio, video = random_batch(1, 4, 24), random_batch(1, 20, 16)
    for changed in (model(audio + 1, video), model(audio, video + 1)):
        assert bool((changed != model(audio, video)).any(-1).all())


def test_streams_of_different_lengths_are_refused() -> None:
    model = final_fusion_model("v1", 2, 24, 16).double()
    with pytest.raises(ValueError, match="3 steps of audio and 20 of video"):
        model(random_batch(1, 3, 24), random_batch(1, 20, 16))
    with pytest.raises(ValueError, match="5 time steps; the table of positions has 4"):
        model(random_batch(1, 5, 24), random_batch(1, 25, 16))


def test_an_answer_is_no_sum_with_what_was_asked() -> None:
    """No attention has a residual path: where its values are zeros, the bias of the head is left."""
    model = final_fusion_model("v3", 2, 24, 16).double().eval()
    assert isinstance(model, AttentionFusion)
    second = model.attentions[1]
    assert isinstance(second, SequenceAttention)
    nn.init.zeros_(second.value.weight)
    out = model(random_batch(2, 4, 24), random_batch(2, 20, 16))
    torch.testing.assert_close(out, model.head.bias.expand_as(out))


@pytest.mark.parametrize(("version", "layers", "parameters"), [("v1", 2, 924_426), ("v2", 4, 1_714_954)])
def test_visual_fusions_have_the_authors_parameters(version: Literal["v1", "v2"], layers: int, parameters: int) -> None:
    assert count(VisualFusion(version)) == parameters - layers * UNUSED


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_padded_window_of_face_and_pose_is_answered_as_alone(version: Literal["v1", "v2"]) -> None:
    model = VisualFusion(version, 16).double().eval()
    face, pose = random_batch(2, 10, 16), random_batch(2, 10, 16).flip(1)
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 6:] = False
    face[1, 6:], pose[1, 6:] = 1e3, -1e3
    padded, alone = model(face, pose, valid), model(face[1:, :6], pose[1:, :6])
    for ours, theirs in zip(padded, alone, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours[1, :6], theirs[0], rtol=0, atol=1e-12)


def test_a_task_that_a_visual_fusion_does_not_have_is_none() -> None:
    out = VisualFusion("v1", 16, expressions=0).double()(random_batch(1, 5, 16), random_batch(1, 5, 16))
    assert out.expressions_BT8 is None
    assert out.valence_arousal_BT2 is not None
