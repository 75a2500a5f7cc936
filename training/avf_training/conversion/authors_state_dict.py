"""Names of every tensor in the authors' state dicts, and in ours.

HiCMAE (sunlicai/HiCMAE) and AVF-MAE++ (XuecWu/AVF-MAE) name their tensors alike up to the fusion; the table below is
complete for both. Their LGI self-attentions keep queries apart from keys and values; ours is one matrix.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder

# (pattern of our name, the authors' name), applied in this order to the whole name
_NAMES: tuple[tuple[str, str], ...] = (
    (r"^decoder_video\.mask_token$", "mask_token"),
    (r"^decoder_audio\.mask_token$", "mask_token_audio"),
    (r"^decoder_video\.to_decoder\.", "encoder_to_decoder."),
    (r"^decoder_audio\.to_decoder\.", "encoder_to_decoder_audio."),
    (r"^(encoder|decoder)_video\.", r"\1."),
    (r"\.embed\.proj\.", ".patch_embed.proj."),
    (r"\.region_tokens$", ".lg_region_tokens"),
    (r"\.local_norm\.", ".first_attn_norm0."),
    (r"\.local_attn\.", ".first_attn."),
    (r"\.region_norm\.", ".second_attn_norm0."),
    (r"\.region_attn\.", ".second_attn."),
    (r"\.spread_norm\.", ".third_attn_norm0."),
    (r"\.spread_context_norm\.", ".third_attn_norm1."),
    (r"\.spread_attn\.", ".third_attn."),
    (r"\.gather_norm\.", ".fourth_attn_norm0."),
    (r"\.gather_context_norm\.", ".fourth_attn_norm1."),
    (r"\.gather_attn\.", ".fourth_attn."),
    (r"^fusion\.units\.(\d+)\.video\.self_norm\.", r"fusion.blocks.\1.norm1."),
    (r"^fusion\.units\.(\d+)\.video\.self_attn\.", r"fusion.blocks.\1.attn."),
    (r"^fusion\.units\.(\d+)\.video\.self_mlp_norm\.", r"fusion.blocks.\1.norm_vsa."),
    (r"^fusion\.units\.(\d+)\.video\.self_mlp\.", r"fusion.blocks.\1.mlp_vsa."),
    (r"^fusion\.units\.(\d+)\.video\.cross_norm\.", r"fusion.blocks.\1.cross_norm1."),
    (r"^fusion\.units\.(\d+)\.video\.cross_context_norm\.", r"fusion.blocks.\1.cross_norm2."),
    (r"^fusion\.units\.(\d+)\.video\.cross_attn\.", r"fusion.blocks.\1.cross_attn."),
    (r"^fusion\.units\.(\d+)\.video\.cross_mlp_norm\.", r"fusion.blocks.\1.norm_vcma."),
    (r"^fusion\.units\.(\d+)\.video\.cross_mlp\.", r"fusion.blocks.\1.mlp_vcma."),
    (r"^fusion\.units\.(\d+)\.video\.self_gate\.", r"fusion.blocks.\1.lv1."),
    (r"^fusion\.units\.(\d+)\.video\.cross_gate\.", r"fusion.blocks.\1.lv2."),
    (r"^fusion\.units\.(\d+)\.video\.norm\.", r"fusion.blocks.\1.norm3."),
    (r"^fusion\.units\.(\d+)\.audio\.self_norm\.", r"fusion.blocks.\1.norm_new."),
    (r"^fusion\.units\.(\d+)\.audio\.self_attn\.", r"fusion.blocks.\1.attn_new."),
    (r"^fusion\.units\.(\d+)\.audio\.self_mlp_norm\.", r"fusion.blocks.\1.norm_asa."),
    (r"^fusion\.units\.(\d+)\.audio\.self_mlp\.", r"fusion.blocks.\1.mlp_asa."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_norm\.", r"fusion.blocks.\1.cross_norm1_a."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_context_norm\.", r"fusion.blocks.\1.cross_norm2_a."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_attn\.", r"fusion.blocks.\1.cross_attn_a."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_mlp_norm\.", r"fusion.blocks.\1.norm_acma."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_mlp\.", r"fusion.blocks.\1.mlp_acma."),
    (r"^fusion\.units\.(\d+)\.audio\.self_gate\.", r"fusion.blocks.\1.la1."),
    (r"^fusion\.units\.(\d+)\.audio\.cross_gate\.", r"fusion.blocks.\1.la2."),
    (r"^fusion\.units\.(\d+)\.audio\.norm\.", r"fusion.blocks.\1.norm3_1."),
    (r"^fusion\.refinement\.reduce\.", "fusion.Iterative_Refinement_Module.post_extract_proj."),
    (r"^fusion\.refinement\.(audio|video)\.conv\.", r"fusion.Iterative_Refinement_Module.conv_\1.0."),
    (r"^fusion\.refinement\.(audio|video)\.norm\.", r"fusion.Iterative_Refinement_Module.conv_\1.1."),
    (r"^fusion\.refinement\.(audio|video)\.act\.", r"fusion.Iterative_Refinement_Module.conv_\1.2."),
    (r"^fusion\.refinement\.norm\.", "fusion.Iterative_Refinement_Module.layer_norm."),
    (r"^fusion\.hafe\.video\.norm\.", "fusion.norm."),
    (r"^fusion\.hafe\.video\.attn\.", "fusion.vadaptiveinteraction."),
    (r"^fusion\.hafe\.video\.mlp_norm\.", "fusion.norm_att_v."),
    (r"^fusion\.hafe\.video\.mlp\.", "fusion.mlp_att_v."),
    (r"^fusion\.hafe\.video\.gate\.", "fusion.vselectfusion."),
    (r"^fusion\.hafe\.video\.cross_norm\.", "fusion.cross_norm_1."),
    (r"^fusion\.hafe\.video\.cross_mlp_norm\.", "fusion.norm_att_v_IR."),
    (r"^fusion\.hafe\.video\.cross_mlp\.", "fusion.mlp_att_video_IR."),
    (r"^fusion\.hafe\.audio\.norm\.", "fusion.norm_audio."),
    (r"^fusion\.hafe\.audio\.attn\.", "fusion.aadaptiveinteraction."),
    (r"^fusion\.hafe\.audio\.mlp_norm\.", "fusion.norm_att_a."),
    (r"^fusion\.hafe\.audio\.mlp\.", "fusion.mlp_att_a."),
    (r"^fusion\.hafe\.audio\.gate\.", "fusion.aselectfusion."),
    (r"^fusion\.hafe\.audio\.cross_norm\.", "fusion.cross_norm_3."),
    (r"^fusion\.hafe\.audio\.cross_mlp_norm\.", "fusion.norm_att_a_IR."),
    (r"^fusion\.hafe\.audio\.cross_mlp\.", "fusion.mlp_att_audio_IR."),
    (r"^fusion\.hafe\.context_norm\.", "fusion.cross_norm_2."),
    (r"^fusion\.hafe\.cross_attn\.", "fusion.cross_attn."),
    (r"^fusion\.", "encoder_fusion."),
)
_HICMAE_HEADS = {"layer_weights_video": "video_layer_weights", "layer_weights_audio": "audio_layer_weights"}
_SPLIT = re.compile(r"(\.(?:first|second)_attn\.)qkv\.weight$")


def authors_names(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return our name of each stored tensor -> the authors' names (two where they keep queries apart)."""
    hicmae = isinstance(model, MaskedAutoencoder | Classifier) and model.config.encoder == "vit"
    names: dict[str, tuple[str, ...]] = {}
    for ours in model.state_dict():
        theirs = ours
        for pattern, replacement in _NAMES:
            theirs = re.sub(pattern, replacement, theirs)
        if hicmae:
            theirs = _HICMAE_HEADS.get(theirs, theirs)
        split = _SPLIT.search(theirs)
        stem = theirs.removesuffix("qkv.weight")
        names[ours] = (f"{stem}q.weight", f"{stem}kv.weight") if split else (theirs,)
    return names


def to_authors_names(tensors: Mapping[str, Tensor], names: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Return our tensors under the authors' names, queries split from keys and values where they are in two tensors."""
    theirs: dict[str, Tensor] = {}
    for ours, parts in names.items():
        tensor = tensors[ours]
        pieces = (tensor,) if len(parts) == 1 else tensor.split([len(tensor) // 3, 2 * len(tensor) // 3])
        theirs |= {name: piece.contiguous() for name, piece in zip(parts, pieces, strict=True)}
    return theirs


def from_authors_names(tensors: Mapping[str, Tensor], names: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Return the authors' tensors under our names, without those of which a part is missing."""
    return {
        ours: torch.cat([tensors[part] for part in parts]) if len(parts) > 1 else tensors[parts[0]]
        for ours, parts in names.items()
        if all(part in tensors for part in parts)
    }
