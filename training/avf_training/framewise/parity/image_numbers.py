"""The masked autoencoder of pictures and NetEase's feature extractor, beside MAE's code."""

import json
from functools import partial

import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.models.image_mae import ImageMAE, from_patches, hidden_patches_loss, to_patches
from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.models.image_vit import ImageFeatureModel, grid_positions, layer_scales
from avf_training.framewise.parity.model_files import compare_both_precisions, filled_by_name, stored_tensor
from avf_training.framewise.parity.rows import OracleNumbers, compare_equal, compare_pairs
from avf_training.models.pretrained import load_strict

SMALL = ImageViTConfig(
    width=24, depth=3, heads=4, patch_px=8, size_px=32, decoder_width=16, decoder_depth=2, decoder_heads=4
)
POSITIONS = 2e-7  # ours are rounded to float32, as the authors' are once they are parameters
NAMED_ROWS = [0, 1, 15, 196]


def compare_image_mae(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return outputs, losses and gradients of the autoencoder, features and logits, positions, scales of layers."""
    tables = []
    for name in (each for each in oracle if each.startswith("pos.")):
        width, grid = (int(part.lstrip("dgri")) for part in name.split(".")[1].split("_")[:2])
        table = grid_positions(width, grid)[0]
        tables.append((name, table[NAMED_ROWS] if "rows" in name else table, oracle[name]))
    settings = json.loads(str(oracle["meta.config"]))
    scales = layer_scales(ImageFeatureModel(SMALL, 8))
    theirs = {name: scale for name, (scale, _) in settings["lrd .65"].items()}
    return [
        *compare_both_precisions(file, oracle, partial(_outputs, oracle), _kind),
        compare_pairs(file, "positions", tables, POSITIONS, "float32"),
        compare_pairs(file, "layer decay", [(name, scales[name], theirs[name]) for name in theirs], 1e-12),
        compare_equal(file, "names", [("layer decay", sorted(scales), sorted(theirs))]),
    ]


def _kind(name: str) -> str:
    return {"grad": "gradients", "loss": "losses"}.get(name.split(".")[0], "outputs")


def _outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    pictures, noise = stored_tensor(oracle, "in.images", dtype), stored_tensor(oracle, "in.noise")
    model = ImageMAE(SMALL)
    load_strict(model, {name[2:]: stored_tensor(oracle, name) for name in oracle if name.startswith("w.")}, "w.")
    model.to(dtype).eval()
    numbers: dict[str, Tensor] = {}
    for norm_pix in (False, True):
        model.zero_grad()
        out = model(pictures, noise)
        loss = hidden_patches_loss(out, pictures, SMALL.patch_px, norm_pix=norm_pix)
        loss.backward()
        numbers[f"loss.norm_pix_{norm_pix}"] = loss
        for name, parameter in model.named_parameters():
            if f"grad.norm_pix_{norm_pix}.{name}" in oracle and parameter.grad is not None:
                numbers[f"grad.norm_pix_{norm_pix}.{name}"] = parameter.grad
    patches = to_patches(pictures, SMALL.patch_px)
    numbers |= {
        "out.pred": out.prediction_BLP,
        "out.mask": out.mask_BL,
        "out.latent": out.latent_BNC,
        "out.ids_restore": out.restore_BL,
        "out.patchify": patches,
        "out.unpatchify_equal": torch.tensor(torch.equal(from_patches(patches, SMALL.patch_px), pictures)),
    }
    return numbers | _features(oracle, pictures, dtype)


def _features(oracle: OracleNumbers, pictures: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return features and logits of both poolings; the file holds the weights of the first, names those of the other.

    Tables of positions are drawn as all weights are.
    """
    pooled, of_cls = ImageFeatureModel(SMALL, 8), ImageFeatureModel(SMALL, 8, pooling="cls")
    start = "vit.w."
    weights = {name[len(start) :]: stored_tensor(oracle, name) for name in oracle if name.startswith(start)}
    load_strict(pooled, weights, start)
    of_cls.load_state_dict({name: filled_by_name(f"vit0.{name}", value) for name, value in of_cls.state_dict().items()})
    numbers: dict[str, Tensor] = {}
    for name, model in (("vit.global_pool_True", pooled), ("vit.global_pool_False", of_cls)):
        model.to(dtype).eval()
        numbers |= {f"{name}.feature": model.features(pictures), f"{name}.logits": model(pictures)}
    return numbers
