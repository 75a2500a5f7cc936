"""Names of tensors in the files of SUN and NetEase: one table a model, from our name to theirs."""

from avf_shards.errors import UserError
from torch import nn

from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.final_fusion import AttentionFusion, MeanFusion
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.layers import SequenceLayer
from avf_training.framewise.models.speech_encoder import SpeechModel
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.temporal import NarrowingLayers, RecurrentLayers, SecondsFromSteps, StackedLayers
from avf_training.framewise.models.visual_fusion import VisualFusion

Rule = tuple[str, str]
"""(pattern of our name, the authors' name); a model's rules are applied in order to the whole name."""

LAYER: tuple[Rule, ...] = (
    (r"\battention\.query\.", "self_attention.query_w."),
    (r"\battention\.key\.", "self_attention.keys_w."),
    (r"\battention\.value\.", "self_attention.values_w."),
    (r"\battention\.out\.", "self_attention.ff_layer_after_concat."),
    (r"\bwiden\.", "feed_forward.layer_1."),
    (r"\bnarrow\.", "feed_forward.layer_2."),
    (r"\battention_norm\.", "add_norm_after_attention.layer_norm."),
    (r"\bffn_norm\.", "add_norm_after_ff.layer_norm."),
)
CROSS_LAYER: tuple[Rule, ...] = (
    *LAYER,
    (r"\bself_attention\.", "cross_attention."),
    (r"\badd_norm_after_attention\.", "add_norm_after_cross_attention."),
)
"""The layer of SUN's picture fusion, the same but for its names."""
_ORDINALS = ("first", "second", "third")
_STACK: tuple[Rule, ...] = (
    *((rf"^layers\.{number}\.", f"{ordinal}_transformer.") for number, ordinal in enumerate(_ORDINALS)),
    (r"^input_norm\.", "start_batch_norm."),
)
_PAIRS: tuple[Rule, ...] = tuple(
    (rf"^layers\.{number}\.", f"{_ORDINALS[number // 2]}_temporal_part.{number % 2}.") for number in range(6)
)
"""The six layers of v1."""
_NARROWING: tuple[Rule, ...] = (
    *((rf"^layers\.{number}\.", f"{ordinal}_temporal_part.0.") for number, ordinal in enumerate(_ORDINALS)),
    *((rf"^reductions\.{number}\.conv\.", f"feature_reduction_{number + 1}.0.") for number in range(2)),
    *((rf"^reductions\.{number}\.norm\.", f"feature_reduction_{number + 1}.1.") for number in range(2)),
)
_SECONDS: tuple[Rule, ...] = (
    (r"^layer\.", "transformer."),
    (r"^recurrent\.", "gru."),
    (r"^to_seconds\.", "downgrader.0."),
)
_AUDIO_VISUAL: tuple[Rule, ...] = (
    *LAYER,
    (r"^video_fusion\.", "attention_va_fusion."),
    (r"^audio_fusion\.", "attention_fusion_model."),
    *((rf"\b{name}\.{n}\.", f"e{e}_cross_att_layer_{n + 1}.") for e, name in enumerate(("first", "second"), 1)
      for n in range(2)),
    (r"\.dense\.", ".cross_ett_dense_layer."),
    (r"\.norm\.", ".cross_att_batch_norm."),
    (r"^audio\.", "a_fc1."),
    (r"^head\.linear\.", "regressor."),
)  # fmt: skip
_SPEECH: tuple[Rule, ...] = (
    (r"^encoder\.feature_extractor\.", "wav2vec2.feature_extractor."),
    (r"^encoder\.encoder\.feature_projection\.", "wav2vec2.feature_projection."),
    (r"^encoder\.encoder\.transformer\.", "wav2vec2.encoder."),
    (r"^head\.", ""),
    *LAYER,
    (r"^layers\.0\.", "tl1."),
    (r"^layers\.1\.", "tl2."),
    (r"^recurrent\.", "gru."),
)
_SPEECH_PARTS = ((r"^to_steps\.", "time_downsample", "_va"), (r"^to_windows\.", "time_downsample", "_e"),
                 (r"^valence_arousal\.", "feature_downsample", "_va"),
                 (r"^expressions\.", "feature_downsample", "_e"))  # fmt: skip
"""(pattern of our name, the authors' name, what they add in the model of both tasks)."""
_FINAL_FUSION: tuple[Rule, ...] = (
    (r"\bquery\.", "query_w."),
    (r"\bkey\.", "keys_w."),
    (r"\bvalue\.", "values_w."),
    (r"\bout\.", "ff_layer_after_concat."),
    *((rf"^attentions\.{number}\.", f"fusion_layer_{number + 1}.") for number in range(2)),
    *((rf"^norms\.{number}\.", f"batch_norm_{number + 1}.") for number in range(2)),
    (r"^audio\.", "audio_feature_down_sampling.0."),
    (r"^video\.", "video_cnn_downsampling."),
    (r"^embedding\.", "embeddings_layer.0."),
    (r"^head\.", "output_layer."),
)
_VISUAL_FUSION: tuple[Rule, ...] = (
    *LAYER,
    (r"^face\.0\.", "cross_attention_1_2."),
    (r"^pose\.0\.", "cross_attention_2_1."),
    (r"^face\.1\.", "cross_attention_1_2_2."),
    (r"^pose\.1\.", "cross_attention_2_1_2."),
    (r"^expressions\.", "classification_head."),
    (r"^valence_arousal\.", "regression_head."),
)
_FUSION: tuple[Rule, ...] = (
    (r"^reduce\.", "feat_fc."),
    (r"^narrow\.", "transformer.conv1."),
    (r"^layers\.", "transformer.transformer_encoder."),
)
_FUSION_HEADS = {"va": ("vhead", "ahead"), "expr": ("AUhead",), "au": ("AUhead",)}
"""The head of expressions is called as that of action units: the files differ in its last layer alone."""
_POSE: tuple[Rule, ...] = (
    (r"^model\.pose\.", "HRNet."),
    (r"^model\.heatmaps\.", "HRNet.final_layer."),
    *((rf"^model\.blocks\.{n}\.", f"additional_layers.residual_block_{n + 1}.") for n in range(3)),
)
_FIXED: tuple[tuple[tuple[type[nn.Module], ...], tuple[Rule, ...]], ...] = (
    ((AudioVisualModel,), _AUDIO_VISUAL),
    ((AttentionFusion, MeanFusion), _FINAL_FUSION),
    ((VisualFusion,), _VISUAL_FUSION),
    ((SequenceLayer,), LAYER),
)
"""Models whose names do not depend on how they were made, with their rules."""


def select_rules(model: nn.Module) -> tuple[Rule, ...]:
    """Return the rules of a model's names. Raises UserError for one whose names in the authors' files are not known."""
    if isinstance(model, FusionTransformer):
        heads = ((rf"^heads\.{n}\.", f"{name}.") for n, name in enumerate(_FUSION_HEADS[model.task]))
        return (*_FUSION, *heads)
    temporal = _temporal_rules(model)
    if temporal:
        return temporal
    if isinstance(model, SpeechHead | SpeechModel):
        head = model.head if isinstance(model, SpeechModel) else model
        has_two_outputs = head.to_steps is not None and head.to_windows is not None
        return (
            *_SPEECH,
            *((ours, f"{theirs}{suffix if has_two_outputs else ''}.") for ours, theirs, suffix in _SPEECH_PARTS),
        )
    if isinstance(model, StaticNet):
        return _POSE if model.backbone == "hrnet_w32" else ()  # the others have the authors' names
    for kinds, rules in _FIXED:
        if isinstance(model, kinds):
            return rules
    raise UserError(f"the names of {type(model).__name__} in the authors' files are not known here")


def _temporal_rules(model: nn.Module) -> tuple[Rule, ...]:
    """Return the rules of a model over time of one stream, none for another model."""
    body: tuple[Rule, ...]
    if isinstance(model, StackedLayers) and len(model.layers) in (1, 3, 6):
        body = _PAIRS if len(model.layers) == 6 else _STACK
    elif isinstance(model, NarrowingLayers):
        body = _NARROWING
    elif isinstance(model, RecurrentLayers):
        body = ((r"^recurrent\.", "temporal_part."),)
    elif isinstance(model, SecondsFromSteps):
        body = _SECONDS
    else:
        return ()
    return (*LAYER, *body, (r"^head\.linear\.", "regressor.0." if model.head.bounded else "classifier."))
