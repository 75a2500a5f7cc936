"""Sequence models have the authors' sizes, and a padded window or clip gets the answers of the window alone."""

from typing import Literal

import pytest
import torch
from avf_training.framewise.models.cross_attention import AudioVisualModel, Joining
from avf_training.framewise.models.fusion_transformer import FrameTask, FusionTransformer
from avf_training.framewise.models.layers import MAX_POSITIONS, SequenceLayer, key_mask, position_table
from avf_training.framewise.models.temporal import SecondsFromSteps, TemporalVersion, temporal_model
from torch import Tensor, nn

UNUSED = 512  # parameters of the authors' layer of width 256 that it never uses; ours has none


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def random_batch(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("version", "layers", "affect", "expressions"),
    [
        ("v1", 6, 2_372_098, 2_373_640),
        ("v3", 3, 1_186_818, 1_188_360),
        ("v4", 0, 790_018, 791_560),
        ("v5", 1, 395_778, 397_320),
        ("v7", 1, 723_714, 725_256),
        ("v8", 0, 1_117_954, 1_119_496),
    ],
)
def test_temporal_models_have_the_authors_parameters(
    version: TemporalVersion, layers: int, affect: int, expressions: int
) -> None:
    assert count(temporal_model(version)) == affect - layers * UNUSED
    assert count(temporal_model(version, outputs=8)) == expressions - layers * UNUSED


def test_the_model_that_maps_time_depends_on_the_window() -> None:
    assert count(temporal_model("v6", steps=30)) == 395_964 - UNUSED
    assert count(temporal_model("v6", steps=20, outputs=8)) == 397_404 - UNUSED
    with pytest.raises(ValueError, match="12 steps is not whole seconds"):
        temporal_model("v6", steps=12)


@pytest.mark.parametrize("version", ["v6", "v7", "v8"])
def test_models_of_seconds_predict_once_in_five_steps(version: TemporalVersion) -> None:
    assert temporal_model(version, 16, 2, 20)(random_batch(3, 20, 16)).shape == (3, 4, 2)


@pytest.mark.parametrize("version", ["v6", "v7", "v8"])
def test_seconds_pass_a_gelu_before_the_head(version: TemporalVersion) -> None:
    model = temporal_model(version, 16, 8, 20).eval()
    assert isinstance(model, SecondsFromSteps)
    nn.init.zeros_(model.to_seconds.weight)
    nn.init.constant_(model.to_seconds.bias, -1.0)  # GELU(-1) = -0.158655
    nn.init.ones_(model.head.linear.weight)
    nn.init.zeros_(model.head.linear.bias)
    torch.testing.assert_close(model(random_batch(3, 20, 16)), torch.full((3, 4, 8), 16 * -0.15865525))


@pytest.mark.parametrize("version", ["v4", "v6", "v7", "v8"])
def test_recurrent_units_and_seconds_drop_values_in_training(version: TemporalVersion) -> None:
    model, x_BTC = temporal_model(version, 16, 8, 20), random_batch(3, 20, 16)
    assert not [module.p for module in model.modules() if isinstance(module, nn.Dropout) and module.p != 0.1]
    assert [module.dropout for module in model.modules() if isinstance(module, nn.GRU)] == (
        [0.1] if version in ("v4", "v8") else []
    )
    assert not torch.equal(model(x_BTC), model(x_BTC))
    assert torch.equal(model.eval()(x_BTC), model(x_BTC))


def test_v2_narrows_its_features_and_has_the_authors_parameters() -> None:
    assert count(temporal_model("v2", outputs=8)) == 561_736 - 2 * (256 + 128 + 64)
    with pytest.raises(ValueError, match="v2 predicts expressions alone"):
        temporal_model("v2")


def test_only_valence_and_arousal_are_bounded() -> None:
    x_BTC = 50 * random_batch(2, 10, 16)
    for version in ("v3", "v4", "v5"):
        affect, expressions = temporal_model(version, 16), temporal_model(version, 16, 8)
        nn.init.constant_(affect.head.linear.bias, 3.0)
        nn.init.constant_(expressions.head.linear.bias, 3.0)
        assert bool((affect.eval()(x_BTC).abs() <= 1).all())
        assert bool((expressions.eval()(x_BTC) > 1).any())


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no temporal model 'v9': v1, v2, v3"):
        temporal_model("v9")  # type: ignore[arg-type]  # what is tested


def test_a_layer_has_the_authors_parameters_and_uses_all() -> None:
    for width in (256, 1024):
        with torch.device("meta"):
            assert count(SequenceLayer(width, 8)) == 6 * width**2 + 6 * width
    layer = SequenceLayer(16, 4)
    layer(random_batch(2, 5, 16)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


def test_positions_count_up_to_the_end_of_the_table() -> None:
    layer = SequenceLayer(4, 2).eval()
    assert layer(torch.zeros(1, MAX_POSITIONS, 4)).shape == (1, MAX_POSITIONS, 4)
    with pytest.raises(ValueError, match="5001 time steps"):
        layer(torch.zeros(1, MAX_POSITIONS + 1, 4))
    table = position_table(3, 4)
    torch.testing.assert_close(table[:, 0], torch.arange(3.0).sin())
    torch.testing.assert_close(table[:, 3], (torch.arange(3.0) / 100).cos())


def test_a_query_without_a_key_gets_nothing_and_no_nan() -> None:
    layer = SequenceLayer(16, 4).eval()
    x_BTC, valid_BT = random_batch(2, 5, 16), torch.zeros(2, 5, dtype=torch.bool)
    assert not layer.attention(x_BTC, x_BTC, x_BTC, key_mask(valid_BT)).any()
    assert layer(x_BTC, allowed_BTT=key_mask(valid_BT)).isfinite().all()


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v5"])
def test_a_padded_window_is_answered_as_alone(version: TemporalVersion) -> None:
    model = temporal_model(version, 16, 8).double()
    windows = random_batch(6, 20, 16).double()
    model.train()(windows)  # moves the statistics of batch norm away from 0 and 1
    model.eval()
    valid_BT = torch.ones(6, 20, dtype=torch.bool)
    valid_BT[2, 7:] = False
    windows[2, 7:] = 1e3
    torch.testing.assert_close(model(windows, valid_BT)[2, :7], model(windows[2:3, :7])[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(model(windows, valid_BT)[:2], model(windows[:2]), rtol=0, atol=1e-12)


def fusion(
    task: FrameTask = "va",
    *,
    head: Literal["bn_mlp", "linear"] = "bn_mlp",
    audio: Literal["per_frame", "per_clip"] = "per_frame",
) -> FusionTransformer:
    torch.manual_seed(5)
    return FusionTransformer(task, visual_width=6, audio_width=4, hidden=(8, 8, 4), head=head, audio=audio)


@pytest.mark.parametrize(
    ("task", "video_alone", "with_audio"),
    [("va", 644_994, 874_370), ("expr", 637_000, 866_376), ("au", 637_260, 866_636)],
)
def test_the_fusion_has_the_authors_parameters(task: FrameTask, video_alone: int, with_audio: int) -> None:
    assert count(FusionTransformer(task, visual_width=768)) == video_alone
    assert count(FusionTransformer(task, visual_width=768, audio_width=896)) == with_audio


def test_the_best_fusion_has_the_parameters_of_the_paper_s_tracks() -> None:
    assert count(FusionTransformer("va", visual_width=5 * 768, audio_width=896)) == 1_660_802
    layer = FusionTransformer("au", visual_width=4 * 768).layers.layers[0]
    assert count(layer) == 99_584
    assert (layer.norm_first, layer.linear1.out_features) == (False, 128)


@pytest.mark.parametrize("head", ["bn_mlp", "linear"])
@pytest.mark.parametrize("audio", ["per_frame", "per_clip"])
def test_a_padded_clip_is_answered_as_alone(
    head: Literal["bn_mlp", "linear"], audio: Literal["per_frame", "per_clip"]
) -> None:
    model = fusion("expr", head=head, audio=audio).double()
    visual, sound = random_batch(4, 12, 6).double(), random_batch(4, 12, 4).double()
    model.train()(visual, sound)
    model.eval()
    valid_BT = torch.ones(4, 12, dtype=torch.bool)
    valid_BT[1, 5:] = False
    visual[1, 5:], sound[1, 5:] = 1e3, -1e3
    out = model(visual, sound, valid_BT)
    torch.testing.assert_close(out[1, :5], model(visual[1:2, :5], sound[1:2, :5])[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(out[2:], model(visual[2:], sound[2:]), rtol=0, atol=1e-12)
    assert not out[1, 5:].any()


def test_padding_changes_no_statistics_of_batch_norm() -> None:
    frames = random_batch(1, 9, 6), random_batch(1, 9, 4)
    alone, padded = (fusion().train() for _ in range(2))
    for model in (alone, padded):
        for module in model.layers.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
    alone(*frames)
    longer = [torch.cat((each, torch.full((1, 4, each.shape[2]), 7.0)), 1) for each in frames]
    padded(*longer, torch.arange(13)[None] < 9)
    for ours, theirs in zip(alone.buffers(), padded.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_sound_of_a_clip_is_one_vector_where_the_paper_says_so() -> None:
    visual, sound = random_batch(2, 12, 6), random_batch(2, 12, 4)
    mean = sound.mean(1, keepdim=True).expand_as(sound)
    per_clip, per_frame = fusion(audio="per_clip").eval(), fusion().eval()
    torch.testing.assert_close(per_clip(visual, sound), per_frame(visual, mean))
    assert not torch.allclose(per_clip(visual, sound), per_frame(visual, sound), atol=1e-3)


def test_sound_that_is_missing_or_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="audio is missing"):
        fusion()(random_batch(2, 12, 6))
    with pytest.raises(ValueError, match="reads no audio"):
        FusionTransformer("au", visual_width=6)(random_batch(2, 12, 6), random_batch(2, 12, 4))


@pytest.mark.parametrize(
    ("joining", "parameters"), [("mean_std", 3_688_706), ("concat", 3_688_706), ("mean", 3_557_634)]
)
def test_audio_visual_models_have_the_authors_parameters(joining: Joining, parameters: int) -> None:
    assert count(AudioVisualModel(joining)) == parameters - 8 * UNUSED
    small = AudioVisualModel(joining, 24, 16).double().eval()
    audio, valence, arousal = (random_batch(3, 20, width).double() for width in (24, 16, 16))
    valid_BT = torch.ones(3, 20, dtype=torch.bool)
    valid_BT[0, 11:] = False
    for each in (audio, valence, arousal):
        each[0, 11:] = 9.0
    out = small(audio, valence, arousal, valid_BT)
    assert out.shape == (3, 20, 2)
    alone = small(*(each[:1, :11] for each in (audio, valence, arousal)))
    torch.testing.assert_close(out[0, :11], alone[0], rtol=0, atol=1e-12)
