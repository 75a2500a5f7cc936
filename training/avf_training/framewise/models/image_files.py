"""Image models on disk: folders of avf-train, and checkpoints of MAE, which have the same names of tensors.

A folder has config.json and model.safetensors. Its kind is `image_mae` (encoder and decoder), `image_encoder` (as MAE
publishes its encoders) or `image_features` (fine-tuned: a norm of the mean of patches, and a head).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from avf_shards.errors import UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json, stamp
from avf_shards.settings.config import bind
from torch import Tensor

from avf_training.framewise.models.huggingface_weights import read_tensors
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS, ImageViTConfig
from avf_training.models.pretrained import load_model_folder, save_model_folder
from avf_training.models.saved_config import CONFIG, TITLES, read_saved_config

ImageModelKind = Literal["image_mae", "image_encoder", "image_features"]
OF_PRETRAINING = ("decoder_", "mask_token")
"""Beginnings of names that only a model with a decoder has."""
_HEADS = "num_attention_heads"
_DECODER_HEADS = 16  # of every size that MAE publishes; no shape tells it


@dataclass(frozen=True, kw_only=True)
class ImageModelFile:
    """An image model as it was read."""

    kind: ImageModelKind
    config: ImageViTConfig
    tensors: dict[str, Tensor]  # in MAE's names
    values: Mapping[str, Any] = field(default_factory=dict)  # the other values of config.json; empty for a checkpoint

    @property
    def encoder(self) -> dict[str, Tensor]:
        """Return the tensors without those of the decoder."""
        return {name: value for name, value in self.tensors.items() if not name.startswith(OF_PRETRAINING)}


def save_image_model(
    folder: Path, kind: ImageModelKind, config: ImageViTConfig, tensors: Mapping[str, Tensor], **values: Any
) -> None:
    """Write a new folder; `values` are stored in its config.json beside the sizes. Raises UserError where it exists."""
    save_model_folder(folder, stamp({"kind": kind, **values, "model": asdict(config)}, "saved model"), tensors)


def read_image_model(path: Path) -> ImageModelFile:
    """Return the model in a folder of avf-train, or in a checkpoint of MAE.

    Raises UserError for a model of another kind, and for what is no model.
    """
    if not is_saved_model(path):
        return recognize_image_model(read_tensors(path), path, _read_heads(path / CONFIG))
    kind = read_saved_config(path)["kind"]
    if kind not in get_args(ImageModelKind):
        raise UserError(
            f"{path}: holds {TITLES.get(kind, f'a {kind!r}')}; name a model of `avf-train pretrain-images` or a "
            "checkpoint of MAE"
        )
    values, tensors = load_model_folder(path)
    config = bind(ImageViTConfig, values["model"], f"{path}/{CONFIG}: model")
    return ImageModelFile(kind=cast(ImageModelKind, kind), config=config, tensors=tensors, values=values)


def _read_heads(config: Path) -> int | None:
    """Return how many heads a folder's config.json says, which no shape tells; None where it does not."""
    values = read_json(config) if config.is_file() else {}
    return Fields(values, str(config)).integer(_HEADS) if _HEADS in values else None


def is_saved_model(path: Path) -> bool:
    """Return whether a path is a folder of avf-train, of any kind, and not of Hugging Face.

    Raises UserError for a folder whose config.json is no JSON: what its weights are of cannot be known.
    """
    try:
        return "kind" in json.loads((path / CONFIG).read_text("utf-8"))
    except (OSError, TypeError):
        return False
    except ValueError as error:
        raise UserError(
            f"{path / CONFIG}: is no JSON ({error}); put the file there that belongs to the weights beside it"
        ) from None


def is_image_model(folder: Path) -> bool:
    """Return whether a folder is an image model of avf-train."""
    return is_saved_model(folder) and str(read_saved_config(folder)["kind"]).startswith("image_")


def is_of_mae(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a checkpoint is a ViT's of single pictures in MAE's names, and not a model of clips."""
    patches = tensors.get("patch_embed.proj.weight")
    return patches is not None and patches.ndim == 4 and {"cls_token", "pos_embed"} <= tensors.keys()


def recognize_image_model(tensors: dict[str, Tensor], path: Path, heads: int | None = None) -> ImageModelFile:
    """Return a checkpoint's model; its sizes are those of the tensors.

    Raises UserError for tensors that are no ViT's in MAE's names.

    Args:
        tensors: in MAE's names.
        path: for messages.
        heads: of the encoder; None: those of the published size.
    """
    patches, positions = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patches is None or positions is None or patches.ndim != 4 or positions.ndim != 3:
        raise UserError(
            f"{path}: has no patch_embed.proj.weight and pos_embed, as a ViT in MAE's names has; its tensors begin "
            f"{', '.join(sorted(tensors)[:4])}"
        )
    width, patch_px, depth = patches.shape[0], patches.shape[-1], _count_blocks(tensors, "blocks")
    if heads is None:
        sizes = IMAGE_PRESETS.values()
        heads = next((each.heads for each in sizes if (each.width, each.depth) == (width, depth)), None)
    if heads is None or heads < 1 or width % heads:
        raise UserError(
            f"{path}: a ViT of width {width} and depth {depth} is none of ViT-B, L and H; name a folder whose "
            'config.json says {"num_attention_heads": N}'
        )
    values = {"width": width, "depth": depth, "heads": heads, "patch_px": patch_px}
    values["size_px"] = math.isqrt(positions.shape[1] - 1) * patch_px
    kind: ImageModelKind = "image_features" if "head.weight" in tensors else "image_encoder"
    if "decoder_pred.weight" in tensors and "decoder_embed.weight" in tensors:
        kind, narrow = "image_mae", tensors["decoder_embed.weight"].shape[0]
        values |= {"decoder_width": narrow, "decoder_depth": _count_blocks(tensors, "decoder_blocks")}
        preset = next((each for each in IMAGE_PRESETS.values() if each.decoder_width == narrow), None)
        values["decoder_heads"] = _DECODER_HEADS if preset is None else preset.decoder_heads
    return ImageModelFile(kind=kind, config=bind(ImageViTConfig, values, str(path)), tensors=tensors)


def _count_blocks(tensors: Mapping[str, Tensor], stack: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{stack}.")})


def write_mae_checkpoint(model: ImageModelFile, path: Path) -> int:
    """Write a model as MAE's code reads it, a new file; return the number of tensors. Raises UserError."""
    if path.exists():
        raise UserError(f"{path}: exists already; name a new file")
    temporary = path.with_name(f".{path.name}.half")
    torch.save({"model": model.tensors}, temporary)
    temporary.replace(path)
    return len(model.tensors)
