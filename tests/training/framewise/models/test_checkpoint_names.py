"""The authors' names of tensors go both ways, and what their code holds and never uses is dropped and written."""

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.models.checkpoint_names import export_tensors, import_tensors, names_in_checkpoint
from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.layers import SequenceLayer
from avf_training.framewise.models.speech_encoder import SpeechEncoderConfig, SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.temporal import temporal_model
from torch import nn


def speech_model(*, both: bool) -> SpeechModel:
    sizes = SpeechEncoderConfig(
        stable_norm=True,
        width=16,
        layers=2,
        heads=2,
        ffn_width=8,
        convolutions=((4, 10, 5), (4, 3, 2)),
        position_kernel=4,
        position_groups=2,
    )
    head = SpeechHead("both" if both else "va", "recurrent" if both else "attention", width=16, heads=(4, 2))
    return SpeechModel(build_speech_encoder(sizes), head)


MODELS: dict[str, nn.Module] = {
    "layer": SequenceLayer(16, 4),
    "v3": temporal_model("v3", 16),
    "v5 expressions": temporal_model("v5", 16, 8),
    "audio-visual": AudioVisualModel("concat", 24, 16),
    "fusion": FusionTransformer("va", visual_width=6, hidden=(8, 8, 4)),
    "speech": speech_model(both=False),
    "speech, both tasks": speech_model(both=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_names_go_both_ways(name: str) -> None:
    model = MODELS[name]
    theirs = export_tensors(model)
    assert len(set(names_in_checkpoint(model).values())) == len(model.state_dict()), "two tensors share a name"
    ours = import_tensors(theirs, model)
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in model.state_dict().items())


def test_names_are_those_of_the_authors() -> None:
    assert {
        "first_transformer.self_attention.query_w.weight",
        "third_transformer.add_norm_after_ff.layer_norm.bias",
        "second_transformer.feed_forward.layer_norm.weight",
        "start_batch_norm.running_var",
        "regressor.0.weight",
    } <= export_tensors(MODELS["v3"]).keys()
    assert "classifier.bias" in export_tensors(MODELS["v5 expressions"])
    assert {
        "a_fc1.weight",
        "attention_va_fusion.e2_cross_att_layer_1.self_attention.keys_w.weight",
        "attention_fusion_model.cross_ett_dense_layer.weight",
        "attention_fusion_model.cross_att_batch_norm.bias",
        "regressor.weight",
    } <= export_tensors(MODELS["audio-visual"]).keys()
    assert {"feat_fc.weight", "vhead.0.weight", "ahead.2.bias", "transformer.conv1.weight"} <= export_tensors(
        MODELS["fusion"]
    ).keys()
    assert {
        "wav2vec2.feature_projection.projection.weight",
        "wav2vec2.encoder.layers.1.attention.k_proj.weight",
        "tl2.positional_encoding.pe",
        "time_downsample.0.weight",
        "feature_downsample.bias",
    } <= export_tensors(MODELS["speech"]).keys()
    assert {"gru.weight_ih_l1", "time_downsample_va.1.bias", "feature_downsample_e.weight"} <= export_tensors(
        MODELS["speech, both tasks"]
    ).keys()


def test_exported_layers_hold_the_norm_that_the_authors_never_use() -> None:
    exported = export_tensors(temporal_model("v3"))
    trained = {name: value for name, value in exported.items() if not name.endswith(("pe", "running_mean"))}
    trained = {name: value for name, value in trained.items() if "running" not in name and "num_batches" not in name}
    assert sum(value.numel() for value in trained.values()) == 1_186_818


def test_the_audio_net_that_is_never_called_is_dropped_and_written() -> None:
    model = FusionTransformer("au", visual_width=6, audio_width=4, hidden=(8, 8, 4))
    exported = export_tensors(model)
    unused = {name: value for name, value in exported.items() if name.startswith("audio_temporal.")}
    assert sum(value.numel() for value in unused.values()) == 18_637_312
    assert {"audio_temporal.gru.weight_hh_l3_reverse", "audio_temporal.linear.bias"} <= unused.keys()
    assert import_tensors(exported, model).keys() == model.state_dict().keys()


def test_names_that_do_not_fit_are_listed() -> None:
    exported = export_tensors(MODELS["v3"])
    exported["surprise.weight"] = exported.pop("regressor.0.bias")
    with pytest.raises(UserError) as error:
        import_tensors(exported, MODELS["v3"])
    assert "unknown: surprise.weight" in str(error.value)
    assert "missing: regressor.0.bias" in str(error.value)


@pytest.mark.parametrize("version", ["v1", "v4", "v6", "v7", "v8"])
def test_models_whose_names_are_unknown_say_so(version: str) -> None:
    with pytest.raises(UserError, match="are not known here"):
        names_in_checkpoint(temporal_model(version, 16, 2, 10))  # type: ignore[arg-type]  # a version all the same
