"""The authors' names of tensors go both ways, and what their code holds and never uses is dropped and written."""

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.models.checkpoint_names import export_tensors, import_tensors, names_in_checkpoint
from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.final_fusion import final_fusion_model
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.layers import SequenceLayer
from avf_training.framewise.models.speech_encoder import SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.temporal import StackedLayers, temporal_model
from avf_training.framewise.models.two_branches import TwoBranchFusion
from avf_training.framewise.models.visual_fusion import VisualFusion
from support.tiny_extractors import SMALL_SPEECH
from torch import nn


def speech_model(*, both: bool) -> SpeechModel:
    head = SpeechHead("both" if both else "va", "recurrent" if both else "attention", width=16, heads=(4, 2))
    return SpeechModel(build_speech_encoder(SMALL_SPEECH), head)


MODELS: dict[str, nn.Module] = {
    "layer": SequenceLayer(16, 4),
    "v1": temporal_model("v1", 16),
    "v2 expressions": temporal_model("v2", 16, 8),
    "v3": temporal_model("v3", 16),
    "v4": temporal_model("v4", 16),
    "v5 expressions": temporal_model("v5", 16, 8),
    "v6": temporal_model("v6", 16, 2, 10),
    "v7 expressions": temporal_model("v7", 16, 8, 10),
    "v8": temporal_model("v8", 16, 2, 10),
    "audio-visual": AudioVisualModel("concat", 24, 16),
    "final fusion v1": final_fusion_model("v1", 2, 24, 16),
    "final fusion v3": final_fusion_model("v3", 2, 24, 16),
    "final fusion v4": final_fusion_model("v4", 2, 24, 16),
    "final fusion v5": final_fusion_model("v5", 8, 24, 16),
    "visual fusion v1": VisualFusion("v1", 16, expressions=0),
    "visual fusion v2": VisualFusion("v2", 16),
    "fusion": FusionTransformer("va", visual_width=6, hidden=(8, 8, 4)),
    "two branches": TwoBranchFusion(
        *(FusionTransformer("va", visual_width=6, audio_width=4, hidden=(8, 8, 4)) for _ in range(2))
    ),
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


def test_names_of_the_other_models_over_time_are_those_of_the_authors() -> None:
    of_each = {
        "v1": {"second_temporal_part.1.self_attention.query_w.weight", "third_temporal_part.0.positional_encoding.pe"},
        "v2 expressions": {
            "feature_reduction_1.0.weight",
            "feature_reduction_2.1.running_mean",
            "third_temporal_part.0.feed_forward.layer_1.bias",
            "classifier.weight",
        },
        "v4": {"temporal_part.weight_hh_l1", "regressor.0.bias"},
        "v6": {"transformer.feed_forward.layer_norm.weight", "downgrader.0.weight", "regressor.0.weight"},
        "v7 expressions": {"transformer.positional_encoding.pe", "downgrader.0.bias", "classifier.bias"},
        "v8": {"gru.bias_ih_l0", "downgrader.0.weight"},
    }
    for name, theirs in of_each.items():
        assert theirs <= export_tensors(MODELS[name]).keys()
    shapes = {name: tuple(export_tensors(MODELS[name])["downgrader.0.weight"].shape) for name in ("v6", "v8")}
    assert shapes == {"v6": (2, 10), "v8": (16, 16, 5)}
    assert tuple(export_tensors(MODELS["v2 expressions"])["feature_reduction_1.0.weight"].shape) == (8, 16, 1)


def test_names_of_the_fusions_of_streams_are_those_of_the_authors() -> None:
    exported = {name: export_tensors(MODELS[name]) for name in MODELS}
    shared_names = {
        "fusion_layer_1.query_w.weight",
        "fusion_layer_2.ff_layer_after_concat.weight",
        "batch_norm_2.running_var",
    }
    assert shared_names <= exported["final fusion v1"].keys()
    assert {*shared_names, "video_cnn_downsampling.bias"} <= exported["final fusion v5"].keys()
    assert exported["final fusion v4"].keys() == {
        "embeddings_layer.0.weight",
        "embeddings_layer.0.bias",
        "output_layer.weight",
        "output_layer.bias",
    }
    for name, steps in (("final fusion v1", 20), ("final fusion v3", 4)):
        tables = [exported[name][f"positional_encoding_{stream}.pe"] for stream in ("audio", "video")]
        assert [tuple(table.shape) for table in tables] == [(1, 4, 16), (1, steps, 16)]
    assert {"cross_attention_2_1_2.positional_encoding.pe", "classification_head.bias", "regression_head.weight"} <= (
        exported["visual fusion v2"].keys()
    )
    assert "classification_head.bias" not in exported["visual fusion v1"]
    assert "cross_attention_1_2.feed_forward.layer_norm.weight" in exported["visual fusion v1"]


def test_of_two_names_of_one_tensor_the_later_one_counts() -> None:
    assert not [name for name in export_tensors(MODELS["final fusion v1"]) if "downsampling" in name]
    model = MODELS["final fusion v3"]
    exported = export_tensors(model)
    assert torch.equal(
        exported["audio_feature_downsampling.0.weight"], exported["audio_feature_down_sampling.0.weight"]
    )
    exported["audio_feature_downsampling.0.weight"] = torch.zeros(16, 24)
    assert torch.equal(import_tensors(exported, model)["audio.weight"], model.state_dict()["audio.weight"])


def test_the_head_of_expressions_is_called_as_that_of_action_units() -> None:
    expressions, units = (FusionTransformer(task, visual_width=6, hidden=(8, 8, 4)) for task in ("expr", "au"))
    shapes = [{name: value.shape for name, value in export_tensors(model).items()} for model in (expressions, units)]
    assert {name for name in shapes[0] if shapes[0][name] != shapes[1].get(name)} == {
        "AUhead.2.weight",
        "AUhead.2.bias",
    }


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


def test_nets_whose_output_comes_from_tracks_and_tables_are_dropped() -> None:
    model = FusionTransformer("au", visual_width=6, hidden=(8, 8, 4))
    others = ("vis_extractor.student.head.weight", "word_temporal.gru.bias_ih_l3_reverse")
    layer, tables = SequenceLayer(16, 4), ("query", "key", "value", "audio", "video")
    assert import_tensors({**export_tensors(model), **dict.fromkeys(others, torch.zeros(2))}, model).keys() == (
        model.state_dict().keys()
    )
    extra = {f"positional_encoding_{name}.pe": torch.zeros(1, 4, 16) for name in tables}
    assert import_tensors({**export_tensors(layer), **extra}, layer).keys() == layer.state_dict().keys()


def test_both_branches_of_the_fusion_are_in_a_file_under_the_authors_prefixes() -> None:
    exported = export_tensors(MODELS["two branches"])
    assert {name[:4] for name in exported} == {"BLB.", "CLB."}
    assert {"BLB.vhead.0.weight", "CLB.ahead.2.bias", "CLB.audio_temporal.linear.bias"} <= exported.keys()
    encoder = {"CLB.vis_extractor.student.head.weight": torch.zeros(2)}
    parallel = {f"module.{name}": value for name, value in {**exported, **encoder}.items()}
    assert import_tensors(parallel, MODELS["two branches"]).keys() == MODELS["two branches"].state_dict().keys()


def test_a_file_of_the_base_branch_alone_is_a_fusion_and_one_of_both_is_not() -> None:
    tensors = export_tensors(MODELS["two branches"])
    base = {name: value for name, value in tensors.items() if name.startswith("BLB.")}
    model = FusionTransformer("va", visual_width=6, audio_width=4, hidden=(8, 8, 4))
    assert torch.equal(import_tensors(base, model)["reduce.weight"], tensors["BLB.feat_fc.weight"])
    with pytest.raises(UserError, match=r"unknown: BLB\."):
        import_tensors(tensors, model)


def test_names_that_do_not_fit_are_listed() -> None:
    exported = export_tensors(MODELS["v3"])
    exported["surprise.weight"] = exported.pop("regressor.0.bias")
    with pytest.raises(UserError) as error:
        import_tensors(exported, MODELS["v3"])
    assert "unknown: surprise.weight" in str(error.value)
    assert "missing: regressor.0.bias" in str(error.value)


def test_a_model_whose_names_are_unknown_says_so() -> None:
    with pytest.raises(UserError, match="names of StackedLayers in the authors' files are not known here"):
        names_in_checkpoint(StackedLayers(16, 2, (4, 4), input_norm=False))
