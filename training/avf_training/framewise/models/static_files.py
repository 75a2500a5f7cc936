"""SUN's networks of single pictures on disk: folders of avf-train, the authors' files, and files of a backbone alone.

A file of a backbone is torchvision's (EfficientNet, ViT, trained on ImageNet) or that of the pose net of HRNet-W32.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_shards.settings.config import bind
from torch import Tensor, nn

from avf_training.framewise.models.checkpoint_names import load_authors_tensors
from avf_training.framewise.models.huggingface_weights import read_tensors
from avf_training.framewise.models.image_files import is_saved_model
from avf_training.framewise.models.name_rules import Rule
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import Backbone, PoseMaps, StaticNetConfig
from avf_training.models.pretrained import load_model_folder, load_strict, save_model_folder
from avf_training.models.saved_config import CONFIG, TITLES, read_saved_config

KIND = "image_static"
_HEADS = ("classifier.", "regression.")
_OLD_HEADS = ("model.heads.", "model.classifier.", "model.heatmaps.")
"""Ends of a backbone that a network has or leaves out."""
_TORCHVISION = ((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."), (r"^", "model."))
"""Its files of ViT have older names of two layers than its code."""
_BACKBONE_NAMES: dict[Backbone, tuple[Rule, ...]] = {
    "efficientnet_b1": _TORCHVISION,
    "efficientnet_b4": _TORCHVISION,
    "vit_b_16": _TORCHVISION,
    "hrnet_w32": ((r"^(?!final_layer\.)", "model.pose."), (r"^final_layer\.", "model.heatmaps.")),
}
"""(pattern of a name in a file of a backbone alone, our name)."""
_POSE = ((r"^HRNet\.(?!final_layer\.)", "model.pose."), (r"^HRNet\.final_layer\.", "model.heatmaps."),
         (r"^additional_layers\.residual_block_1\.", "model.blocks.0."),
         (r"^additional_layers\.residual_block_2\.", "model.blocks.1."),
         (r"^additional_layers\.residual_block_3\.", "model.blocks.2."))  # fmt: skip
"""The same of the authors' files of HRNet-W32; of the others the names are ours."""


def save_static_net(folder: Path, net: nn.Module, config: StaticNetConfig, **values: Any) -> None:
    """Write a new folder; `values` are stored in its config.json beside the parts. Raises UserError where it exists."""
    save_model_folder(folder, stamp({"kind": KIND, **values, "model": asdict(config)}, "saved model"), net.state_dict())


def read_static_net(path: Path) -> tuple[StaticNetConfig, dict[str, Tensor], Mapping[str, Any]]:
    """Return the parts of a saved network, its tensors, and the values of its config.json.

    Raises UserError for a folder that holds another model.
    """
    kind = read_saved_config(path)["kind"]
    if kind != KIND:
        raise UserError(f"{path}: holds {TITLES.get(kind, f'a {kind!r}')}; name {TITLES[KIND]}")
    values, tensors = load_model_folder(path)
    return bind(StaticNetConfig, values["model"], f"{path}/{CONFIG}: model"), tensors, values


def load_static_net(backbone: Backbone, path: Path) -> tuple[StaticNet, StaticNetConfig | None]:
    """Return a trained network: of a folder of avf-train with its parts, or of the authors' file, where they are None.

    Raises UserError for another backbone, and for tensors that do not fit.
    """
    if is_saved_model(path):
        config, tensors, _ = read_static_net(path)
        if config.backbone != backbone:
            raise UserError(f"{path}: is a network on {config.backbone}, not on {backbone}")
        net = StaticNet.from_config(config)
        load_strict(net, tensors, str(path))
        return net, config
    tensors = read_tensors(path)
    maps: PoseMaps = "heatmaps13" if "HRNet.final_layer.weight" in tensors else "features13"
    net = StaticNet(
        backbone,
        expressions=len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0,
        vit_output="imagenet_logits" if any(name.startswith("model.heads.") for name in tensors) else "cls",
        hrnet_maps=maps,
    )
    load_authors_tensors(net, tensors, str(path))
    return net, None


def start_static_net(net: StaticNet, path: Path, task: str) -> None:
    """Load into a new network what a file or folder has of it; heads of another task and what is not there stay new.

    Raises UserError for weights of another network, and where tensors of the backbone are missing or too many.

    Args:
        net: with the weights that a seed has drawn.
        path: a folder of avf-train, a file of the authors, or one of a backbone alone.
        task: whose head is taken over, where the folder says that it has it.
    """
    state = net.state_dict()
    tensors, same_task = _read_start(net.backbone, path, task)
    old_heads = [name for name in _OLD_HEADS if not any(each.startswith(name) for each in state)]
    dropped = (*old_heads, *(() if same_task else _HEADS))
    tensors = {name: value for name, value in tensors.items() if not name.startswith(dropped)}
    if not tensors.keys() & state.keys():
        raise UserError(f"{path}: has no tensor of {net.backbone}; its tensors begin {', '.join(sorted(tensors)[:4])}")
    new = {name: value for name, value in state.items() if name not in tensors and _may_be_new(name)}
    load_strict(net, new | tensors, str(path))


def _read_start(backbone: Backbone, path: Path, task: str) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors of a start under our names, and whether it was trained on a task. Raises UserError."""
    if is_saved_model(path):
        config, tensors, values = read_static_net(path)
        if config.backbone != backbone:
            raise UserError(f"{path}: is a network on {config.backbone}, and the recipe's is on {backbone}")
        return tensors, values.get("task") == task
    tensors = read_tensors(path)
    rules = _BACKBONE_NAMES[backbone]
    if "embeddings_layer.weight" in tensors:
        rules = _POSE if backbone == "hrnet_w32" else ()
    return {_rename(name, rules): value for name, value in tensors.items()}, False


def _may_be_new(name: str) -> bool:
    """Return whether a start may lack a tensor: all but those of a backbone that learned before."""
    return not name.startswith("model.") or name.startswith("model.blocks.") or name.endswith(".num_batches_tracked")


def _rename(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
