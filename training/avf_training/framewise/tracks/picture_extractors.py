"""Extractors that look at single face pictures: NetEase's ViT, and SUN's networks with an embedding of 256 values.

B pictures, D values.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.framewise.models.checkpoint_names import load_authors_tensors
from avf_training.framewise.models.huggingface_weights import read_tensors
from avf_training.framewise.models.image_vit import IMAGE_PRESETS, ImageFeatureModel, ImageViTConfig
from avf_training.framewise.models.pose_backbone import PoseMaps
from avf_training.framewise.models.static_nets import INPUT_PX, Backbone, StaticNet
from avf_training.framewise.tracks.extractor import FrameVectors, digest_weights, every_frame, read_sizes
from avf_training.framewise.tracks.footage import PICTURE_PREPARATION, Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.models.pretrained import load_strict

_OF_PRETRAINING = ("decoder_", "mask_token")  # beginnings of names that a fine-tuned model does not have


class PictureExtractor:
    """A network of single pictures: a vector for each frame."""

    def __init__(
        self,
        model: nn.Module,
        feature: Callable[[Tensor], Tensor],  # of (B, 3, P, P), by the model
        size_px: int,  # P
        identity: ExtractorIdentity,
        device: torch.device,
    ) -> None:
        self.identity = identity
        self._model, self._feature, self._size_px, self._device = model.to(device).eval(), feature, size_px, device

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for each frame."""
        batches = footage.pictures(self._size_px, self._device)
        vectors_ND = torch.cat([self._feature(pictures).float().cpu() for pictures in batches])
        return every_frame(vectors_ND.numpy())


def load_vit(name: str, weights: Path, device: torch.device) -> PictureExtractor:
    """Return NetEase's extractor; its sizes are those of the tensors. Raises UserError."""
    tensors = {key: value for key, value in read_tensors(weights).items() if not key.startswith(_OF_PRETRAINING)}
    config = _vit_config(tensors, weights)
    model = ImageFeatureModel(
        config,
        len(tensors["head.weight"]) if "head.weight" in tensors else 1,
        "mean" if "fc_norm.weight" in tensors else "cls",
    )
    state = model.state_dict()
    new = {key: state[key] for key in ("head.weight", "head.bias") if key not in tensors}  # not read by a feature
    load_strict(model, tensors | new, str(weights))
    settings: dict[str, str | int] = {
        "size_px": config.size_px,
        "heads": config.heads,
        "pooling": model.pooling,
        "picture_preparation": PICTURE_PREPARATION,
    }
    identity = ExtractorIdentity.from_settings(name, settings, digest_weights(weights))
    return PictureExtractor(model, model.features, config.size_px, identity, device)


def _vit_config(tensors: Mapping[str, Tensor], weights: Path) -> ImageViTConfig:
    """Return the sizes of a ViT from the shapes of its tensors."""
    patches, positions = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patches is None or positions is None or patches.ndim != 4 or positions.ndim != 3:
        raise UserError(
            f"{weights}: has no patch_embed.proj.weight and pos_embed, as a ViT in MAE's names has; its tensors begin "
            f"{', '.join(sorted(tensors)[:4])}"
        )
    width, patch_px = patches.shape[0], patches.shape[-1]
    depth = len({key.split(".")[1] for key in tensors if key.startswith("blocks.")})
    heads = next((each.heads for each in IMAGE_PRESETS.values() if (each.width, each.depth) == (width, depth)), None)
    sizes = read_sizes(weights)
    if sizes is not None:
        heads = sizes.integer("num_attention_heads")
    if heads is None or heads < 1 or width % heads:
        raise UserError(
            f"{weights}: a ViT of width {width} and depth {depth} is none of ViT-B, L and H; name a folder whose "
            'config.json says {"num_attention_heads": N}'
        )
    size_px = math.isqrt(positions.shape[1] - 1) * patch_px
    return ImageViTConfig(width=width, depth=depth, heads=heads, patch_px=patch_px, size_px=size_px)


def load_static(name: str, weights: Path, device: torch.device) -> PictureExtractor:
    """Return the embedding of one of SUN's networks. Raises UserError."""
    backbone: Backbone = next(each for each in get_args(Backbone) if each == name)
    tensors = read_tensors(weights)
    logits = any(key.startswith("model.heads.") for key in tensors)
    maps: PoseMaps = "heatmaps13" if "HRNet.final_layer.weight" in tensors else "features13"
    model = StaticNet(
        backbone,
        expressions=len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0,
        vit_output="imagenet_logits" if logits else "cls",
        hrnet_maps=maps,
    )
    load_authors_tensors(model, tensors, str(weights))
    settings: dict[str, str | int] = {"size_px": INPUT_PX[backbone], "picture_preparation": PICTURE_PREPARATION}
    if backbone == "hrnet_w32":
        settings["maps"] = maps
    identity = ExtractorIdentity.from_settings(name, settings, digest_weights(weights))
    return PictureExtractor(model, lambda pictures: model(pictures).embedding_BE, INPUT_PX[backbone], identity, device)
