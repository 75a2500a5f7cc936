"""Names of tensors in the checkpoints of SUN and NetEase, and in ours: one table a model, read both ways.

Their files hold tensors that their code never uses: a second layer norm in each feed-forward network, tables of
positions, and NetEase's recurrent net for audio. They are dropped when a file is read, and written as they are at
initialization, so that the authors' code can load what is exported.
"""

import re
from collections.abc import Mapping

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.layers import MAX_POSITIONS, SequenceLayer, position_table
from avf_training.framewise.models.speech_encoder import SpeechModel
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.temporal import StackedLayers

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
_ORDINALS = ("first", "second", "third")  # the names of the authors' v1, of six layers, are not known here
_STACK: tuple[Rule, ...] = (
    *LAYER,
    *((rf"^layers\.{number}\.", f"{ordinal}_transformer.") for number, ordinal in enumerate(_ORDINALS)),
    (r"^input_norm\.", "start_batch_norm."),
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
_FUSION: tuple[Rule, ...] = (
    (r"^reduce\.", "feat_fc."),
    (r"^narrow\.", "transformer.conv1."),
    (r"^layers\.", "transformer.transformer_encoder."),
)
# The head of expressions is called as the others are; no file at hand confirms it.
_FUSION_HEADS = {"va": ("vhead", "ahead"), "expr": ("EXPhead",), "au": ("AUhead",)}
_AUDIO_NET = "audio_temporal."
_UNUSED = re.compile(
    rf"^{re.escape(_AUDIO_NET)}|\bfeed_forward\.layer_norm\.|\bpositional_encoding\.pe$|\bmasked_spec_embed$"
)


def names_in_checkpoint(model: nn.Module) -> dict[str, str]:
    """Return our name of each stored tensor -> the authors' name.

    Raises UserError for a model whose names in the authors' files are not known here.
    """
    rules = _rules(model)
    return {ours: _rename(ours, rules) for ours in model.state_dict()}


def export_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors under the authors' names, with those that their code holds and never uses."""
    state = model.state_dict()
    tensors = {theirs: state[ours] for ours, theirs in names_in_checkpoint(model).items()}
    for path, module in model.named_modules():
        if isinstance(module, SequenceLayer):
            width = module.attention_norm.normalized_shape[0]
            prefix = _rename(f"{path}." if path else "", _rules(model))
            tensors[f"{prefix}feed_forward.layer_norm.weight"] = torch.ones(width)
            tensors[f"{prefix}feed_forward.layer_norm.bias"] = torch.zeros(width)
            tensors[f"{prefix}positional_encoding.pe"] = position_table(MAX_POSITIONS, width)[None]
    if isinstance(model, FusionTransformer) and model.audio_width:
        tensors |= {f"{_AUDIO_NET}{name}": value for name, value in _unused_audio_net().items()}
    return tensors


def import_tensors(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the authors' tensors under the names of `model`, without those that are never used.

    Raises UserError that lists names which the model does not have, or misses.
    """
    theirs_to_ours = {theirs: ours for ours, theirs in names_in_checkpoint(model).items()}
    used = {name: value for name, value in tensors.items() if not _UNUSED.search(name)}
    faults = [f"  unknown: {name}" for name in used if name not in theirs_to_ours]
    faults += [f"  missing: {name}" for name in theirs_to_ours if name not in used]
    if faults:
        raise UserError("\n".join(["the file's tensors are not those of the model:", *faults]))
    return {theirs_to_ours[name]: value for name, value in used.items()}


def import_layer(tensors: Mapping[str, Tensor], rules: tuple[Rule, ...] = LAYER) -> dict[str, Tensor]:
    """Return one layer's tensors under our names; `rules`: LAYER or CROSS_LAYER."""
    with torch.device("meta"):
        ours = list(SequenceLayer(2, 1).state_dict())
    return {name: tensors[_rename(name, rules)] for name in ours}


def _rename(ours: str, rules: tuple[Rule, ...]) -> str:
    for pattern, replacement in rules:
        ours = re.sub(pattern, replacement, ours)
    return ours


def _rules(model: nn.Module) -> tuple[Rule, ...]:
    if isinstance(model, FusionTransformer):
        heads = ((rf"^heads\.{n}\.", f"{name}.") for n, name in enumerate(_FUSION_HEADS[model.task]))
        return (*_FUSION, *heads)
    if isinstance(model, StackedLayers) and len(model.layers) <= len(_ORDINALS):
        return (*_STACK, (r"^head\.linear\.", "regressor.0." if model.head.bounded else "classifier."))
    if isinstance(model, SpeechHead | SpeechModel):
        head = model.head if isinstance(model, SpeechModel) else model
        both = head.to_steps is not None and head.to_windows is not None
        return (*_SPEECH, *((ours, f"{theirs}{suffix if both else ''}.") for ours, theirs, suffix in _SPEECH_PARTS))
    if isinstance(model, AudioVisualModel):
        return _AUDIO_VISUAL
    if isinstance(model, SequenceLayer):
        return LAYER
    raise UserError(f"the names of {type(model).__name__} in the authors' files are not known here")


def _unused_audio_net() -> dict[str, Tensor]:
    """Return zeros of the recurrent net that NetEase's code allocates whatever the audio is: 18.6 M parameters."""
    with torch.device("meta"):
        net = nn.ModuleDict({"gru": nn.GRU(768, 512, 4, bidirectional=True), "linear": nn.Linear(1024, 512)})
    return {name: torch.zeros(value.shape) for name, value in net.state_dict().items()}
