"""Tensors of the checkpoints of SUN and NetEase under our names, and ours under theirs.

Their files hold tensors that their code never uses: a second layer norm in each feed-forward network, tables of
positions, and NetEase's recurrent nets for audio and words. They are dropped when a file is read, and written as they
are at initialization, so that the authors' code can load what is exported. NetEase's files also hold the encoder of
pictures (`vis_extractor.`), whose features our fusion reads from tracks: it is dropped, and not written. Where two
branches are in a file, the names of the base branch begin with `BLB.` and those of the other with `CLB.`; `module.`
before all names, of a network that several GPUs trained, is removed.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.framewise.models.final_fusion import AttentionFusion
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.layers import MAX_POSITIONS, SequenceLayer, position_table
from avf_training.framewise.models.name_rules import LAYER, Rule, select_rules
from avf_training.framewise.models.two_branches import TwoBranchFusion
from avf_training.models.pretrained import describe_misfit, load_strict

_AUDIO_NET = "audio_temporal."
_SHARED_NAME, _SHARED_LATER_NAME = "audio_feature_downsampling.", "audio_feature_down_sampling."
"""Two names of one map of audio in the files of two models; the later one counts when their code reads a file."""
_BRANCHES = {"base": "BLB.", "hard": "CLB."}
_PARALLEL = "module."
_UNUSED = re.compile(
    rf"^(?:[BC]LB\.)?({re.escape(_AUDIO_NET)}|word_temporal\.|vis_extractor\.|{re.escape(_SHARED_NAME)})|\bfeed_forward\.layer_norm\."
    r"|\bpositional_encoding(_query|_key|_value|_audio|_video)?\.pe$|\bmasked_spec_embed$"
)


def names_in_checkpoint(model: nn.Module) -> dict[str, str]:
    """Return our name of each stored tensor -> the authors' name.

    Raises UserError for a model whose names in the authors' files are not known here.
    """
    if isinstance(model, TwoBranchFusion):
        return {
            f"{ours}.{name}": theirs + their_name
            for ours, theirs in _BRANCHES.items()
            for name, their_name in names_in_checkpoint(getattr(model, ours)).items()
        }
    rules = select_rules(model)
    return {ours: _rename(ours, rules) for ours in model.state_dict()}


def export_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors under the authors' names, with those that their code holds and never uses."""
    if isinstance(model, TwoBranchFusion):
        return {
            theirs + name: value
            for ours, theirs in _BRANCHES.items()
            for name, value in export_tensors(getattr(model, ours)).items()
        }
    state = model.state_dict()
    tensors = {theirs: state[ours] for ours, theirs in names_in_checkpoint(model).items()}
    for path, module in model.named_modules():
        if isinstance(module, SequenceLayer):
            width = module.attention_norm.normalized_shape[0]
            prefix = _rename(f"{path}." if path else "", select_rules(model))
            tensors[f"{prefix}feed_forward.layer_norm.weight"] = torch.ones(width)
            tensors[f"{prefix}feed_forward.layer_norm.bias"] = torch.zeros(width)
            tensors[f"{prefix}positional_encoding.pe"] = position_table(MAX_POSITIONS, width)[None]
    if isinstance(model, AttentionFusion):
        tensors |= _fusion_extras(model, tensors)
    if isinstance(model, FusionTransformer) and model.audio_width:
        tensors |= {f"{_AUDIO_NET}{name}": value for name, value in _unused_audio_net().items()}
    return tensors


def import_tensors(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the authors' tensors under the names of `model`, without those that are never used.

    Raises UserError that lists names which the model does not have, or misses.
    """
    theirs_to_ours = {theirs: ours for ours, theirs in names_in_checkpoint(model).items()}
    tensors = _without_prefix(tensors, _PARALLEL)
    if isinstance(model, FusionTransformer):
        tensors = _without_prefix(tensors, _BRANCHES["base"])
    used = {name: value for name, value in tensors.items() if not _UNUSED.search(name)}
    unknown = [f"  unknown: {name}" for name in used if name not in theirs_to_ours]
    missing = [f"  missing: {name}" for name in theirs_to_ours if name not in used]
    if unknown or missing:
        raise UserError(describe_misfit("the file's tensors are not those of the model:", missing, unknown))
    return {theirs_to_ours[name]: value for name, value in used.items()}


def load_authors_tensors(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load the authors' tensors, all of them. Raises UserError, which begins with `where` they were read from."""
    try:
        renamed = import_tensors(tensors, model)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    load_strict(model, renamed, where)


def import_layer(tensors: Mapping[str, Tensor], rules: Sequence[Rule] = LAYER) -> dict[str, Tensor]:
    """Return one layer's tensors under our names; `rules`: LAYER or CROSS_LAYER."""
    with torch.device("meta"):
        ours = list(SequenceLayer(2, 1).state_dict())
    return {name: tensors[_rename(name, rules)] for name in ours}


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Mapping[str, Tensor]:
    """Return the tensors without a prefix that all of them have."""
    if not all(name.startswith(prefix) for name in tensors):
        return tensors
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _rename(ours: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        ours = re.sub(pattern, replacement, ours)
    return ours


def _fusion_extras(model: AttentionFusion, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tables of positions of both streams, and the map of audio under its other name where it has two."""
    extra = {
        "positional_encoding_audio.pe": model.audio_positions.table_TC[None].float(),
        "positional_encoding_video.pe": model.video_positions.table_TC[None].float(),
    }
    if model.version != "v1":
        shared = (name for name in tensors if name.startswith(_SHARED_LATER_NAME))
        extra |= {name.replace(_SHARED_LATER_NAME, _SHARED_NAME): tensors[name] for name in shared}
    return extra


def _unused_audio_net() -> dict[str, Tensor]:
    """Return zeros of the recurrent net that NetEase's code allocates whatever the audio is: 18.6 M parameters."""
    with torch.device("meta"):
        net = nn.ModuleDict({"gru": nn.GRU(768, 512, 4, bidirectional=True), "linear": nn.Linear(1024, 512)})
    return {name: torch.zeros(value.shape) for name, value in net.state_dict().items()}
