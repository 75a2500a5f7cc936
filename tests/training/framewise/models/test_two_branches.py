"""NetEase's second branch: what learns, how both are mixed, and the clips that it learns from."""

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise import losses
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.two_branches import ClipFeatures, TwoBranchFusion, draw_share
from avf_training.framewise.sampling.hard_clips import draw_hard_clips


def fusion(task: str = "va") -> FusionTransformer:
    return FusionTransformer("va" if task == "va" else "au", visual_width=6, hidden=(8, 8, 4))


@pytest.fixture
def model() -> TwoBranchFusion:
    torch.manual_seed(1)
    return TwoBranchFusion(fusion(), fusion())


def test_both_branches_see_the_same_clips_when_tested_and_the_base_has_four_fifths(model: TwoBranchFusion) -> None:
    clips = ClipFeatures(torch.randn(2, 5, 6), None, torch.tensor([[True] * 5, [True] * 3 + [False] * 2]))
    model.eval()
    expected = 0.8 * model.base(*clips) + 0.2 * model.hard(*clips)
    torch.testing.assert_close(model(clips), expected)
    assert not model(clips)[1, 3:].any()


def test_only_the_second_branch_learns_and_the_statistics_of_the_base_stay(model: TwoBranchFusion) -> None:
    clips, hard_clips = (ClipFeatures(torch.randn(2, 5, 6)) for _ in range(2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    truths = torch.rand(2, 5, 2), torch.rand(2, 5, 2)
    predicted = model(clips, hard_clips, share=0.3)
    loss = losses.two_label_loss(
        lambda truth: losses.valence_arousal_loss(predicted, truth), truths, 0.3, losses.TWO_LABELS_FACTOR["va"]
    )
    losses_of_truths = [losses.valence_arousal_loss(predicted, truth) for truth in truths]
    assert loss.item() == pytest.approx(0.5 * (0.3 * losses_of_truths[0] + 0.7 * losses_of_truths[1]).item())
    loss.backward()
    torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1.0).step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("hard.") for name in changed)


def test_branches_of_two_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="the branches are of the tasks va and au"):
        TwoBranchFusion(fusion(), fusion("au"))


def test_shares_are_drawn_from_the_beta_distribution_of_5_and_2() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([draw_share(random) for _ in range(4000)])
    assert drawn.mean() == pytest.approx(5 / 7, abs=0.01)
    assert drawn.var() == pytest.approx(10 / (49 * 8), abs=0.002)


def test_the_hard_clips_are_there_in_every_epoch_and_the_others_change() -> None:
    clip_losses = np.arange(100) % 50 + np.linspace(0, 0.5, 100)
    hard = {int(clip) for clip in np.argsort(-clip_losses)[:20]}
    epochs = [draw_hard_clips(clip_losses, seed=3, epoch=epoch, hard_share=0.2).tolist() for epoch in (0, 1)]
    for clips in epochs:
        assert hard <= set(clips)
        assert len(set(clips)) == len(clips) == 40
    assert epochs[0] != epochs[1]
    assert epochs[0] == draw_hard_clips(clip_losses, seed=3, epoch=0, hard_share=0.2).tolist()
    assert draw_hard_clips(clip_losses, seed=3, epoch=0, hard_share=1).tolist() == list(range(100))


def test_a_wrong_share_or_loss_is_one_sentence() -> None:
    with pytest.raises(UserError, match="hard_share: 0; it is above 0"):
        draw_hard_clips(np.ones(3), seed=0, epoch=0, hard_share=0)
    with pytest.raises(UserError, match="loss of clip 1 is not finite"):
        draw_hard_clips(np.array([0, np.nan]), seed=0, epoch=0)
