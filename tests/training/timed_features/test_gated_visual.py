"""The visual branch is shut at first, opens by gradients, and joins what is seen when a token is heard."""

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.timed_features.gated_visual import GatedVisual


def test_a_shut_gate_leaves_the_sound_to_the_bit_and_learns_to_open() -> None:
    torch.manual_seed(0)
    gated = GatedVisual(6, 4)
    audio, video = torch.randn(2, 9, 6), torch.randn(2, 3, 4)
    audio_times, video_times = torch.arange(9) / 50, torch.arange(3) / 15
    assert torch.equal(gated(audio, video, audio_times, video_times), audio)
    steps = torch.optim.SGD(gated.parameters(), lr=0.5)
    target, losses = audio + 1, []
    for _ in range(20):
        loss = (gated(audio, video, audio_times, video_times) - target).square().mean()
        losses.append(float(loss))
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < 0.5 * losses[0]
    assert gated.gate.abs().min() > 0


def test_what_is_seen_joins_at_the_times_of_the_tokens() -> None:
    gated = GatedVisual(1, 1)
    with torch.no_grad():
        gated.gate.fill_(100.0)  # tanh 1
        gated.project.weight.fill_(1.0)
        gated.project.bias.zero_()
    seen = torch.tensor([[[0.0], [10.0], [40.0]]])
    times = torch.tensor([0.0, 0.5, 1.5, 2.0, 9.0]) - 0.25
    joined = gated(torch.zeros(1, 5, 1), seen, times, torch.tensor([0.0, 1.0, 2.0]))
    assert joined[0, :, 0].tolist() == pytest.approx([0.0, 2.5, 17.5, 32.5, 40.0])
    still = gated(torch.zeros(1, 5, 1), seen[:, 1:2], times, torch.zeros(1))
    assert still[0, :, 0].tolist() == [10.0] * 5


def test_times_that_do_not_fit_are_refused() -> None:
    gated = GatedVisual(2, 2)
    with pytest.raises(UserError, match=r"face: \(1, 3, 2\) of \(rows, times, width\) with \(2,\) times"):
        gated(torch.zeros(1, 4, 2), torch.zeros(1, 3, 2), torch.arange(4), torch.arange(2))
    with pytest.raises(UserError, match="the times of the face must rise"):
        gated(torch.zeros(1, 4, 2), torch.zeros(1, 3, 2), torch.arange(4), torch.tensor([0, 2, 1]))
