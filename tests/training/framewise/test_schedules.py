"""Learning rates by step and by layer: their ends, periods and floors, and what the authors' optimizer never holds."""

import pytest
from avf_shards.errors import UserError
from avf_training.framewise import schedules
from avf_training.framewise.layer_rates import LayerSize, discriminative_rates, open_layers, optimizer_layers

EFFICIENTNET = [
    *(LayerSize(name="block", parameters=100) for _ in range(9)),
    *(LayerSize(name="empty", parameters=0) for _ in range(3)),
    *(LayerSize(name="head", parameters=count) for count in (50, 5, 0, 0, 2)),
]


def test_warmup_starts_where_the_paper_or_the_code_says_and_ends_at_the_highest_rate() -> None:
    for start in (5e-5, 1e-5):
        rate = schedules.warmup_then_epoch_cosine(0, steps_per_epoch=40, warmup_from=start)
        assert rate == start
    assert schedules.warmup_then_epoch_cosine(100, steps_per_epoch=40) == pytest.approx(0.005)
    rates = {step: schedules.warmup_then_epoch_cosine(step, steps_per_epoch=40) for step in (119, 120, 280, 480)}
    assert rates[119] > rates[120]
    assert rates[280] == pytest.approx(1e-4)
    assert rates[480] == pytest.approx(0.005)


def test_audio_has_a_constant_rate() -> None:
    rates = {schedules.cosine_with_restarts(step, steps_per_epoch=7, highest=1e-4, lowest=1e-4) for step in range(200)}
    assert rates == {1e-4}


def test_our_fusion_rate_falls_once_and_the_code_s_is_a_triangle() -> None:
    ours = [schedules.run_cosine_rate(epoch, epochs=50) for epoch in range(51)]
    assert ours == sorted(ours, reverse=True)
    assert (ours[0], ours[-1]) == (1e-4, pytest.approx(0))
    code = [schedules.netease_epoch_rate(epoch) for epoch in range(4)]
    assert code == pytest.approx([5e-5, 3e-5, 1e-5, 3e-5])


def test_image_mae_rises_to_2_4e_3_and_ends_at_0() -> None:
    assert schedules.masked_autoencoder_rate(40) == pytest.approx(2.4e-3)
    assert schedules.masked_autoencoder_rate(800) == pytest.approx(0, abs=1e-18)


def test_rates_fall_towards_the_input_down_to_a_floor() -> None:
    rates = discriminative_rates(EFFICIENTNET, factor=0.85)
    assert list(rates) == [*range(9), 12, 13, 16]
    assert rates[8] == pytest.approx(0.005 * 0.85**4)
    assert rates[16] == rates[12] == 0.005
    assert min(discriminative_rates([LayerSize(name="block", parameters=1)] * 60).values()) == 5e-5


def test_a_layer_opens_each_epoch_and_all_are_open_in_the_end() -> None:
    assert open_layers(EFFICIENTNET, 0) == open_layers(EFFICIENTNET, 1) == (12, 13, 16)
    assert open_layers(EFFICIENTNET, 2) == (8, 12, 13, 16)
    assert open_layers(EFFICIENTNET, 10) == open_layers(EFFICIENTNET, 99) == (*range(9), 12, 13, 16)


def test_the_authors_scripts_never_train_the_backbone_and_ours_do() -> None:
    rates = discriminative_rates(EFFICIENTNET)
    assert optimizer_layers(EFFICIENTNET, rates=rates, gradual_unfreezing=True) == rates
    theirs = optimizer_layers(EFFICIENTNET, rates=rates, gradual_unfreezing=True, protocol="authors_code")
    assert list(theirs) == [12, 13, 16]
    assert optimizer_layers(EFFICIENTNET, rates=rates, gradual_unfreezing=False, protocol="authors_code") == rates


def test_a_rate_of_an_unknown_layer_is_refused() -> None:
    with pytest.raises(UserError, match="layer 17, but the network has layers 0 to 16"):
        optimizer_layers(EFFICIENTNET, rates={17: 0.1}, gradual_unfreezing=False)
