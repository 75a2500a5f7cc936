"""The networks of single pictures beside those of the SUN team, at full size."""

import json
import zlib
from importlib.util import find_spec
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.data.transforms import normalize_pixels
from avf_training.framewise.models.checkpoint_names import names_in_checkpoint
from avf_training.framewise.models.pose_backbone import PoseBackbone
from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import Backbone
from avf_training.framewise.parity.model_files import filled_by_name, missing_row, stored_tensor
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_pairs

DEEP_DOUBLE, DEEP_SINGLE = 1e-6, 1e-3
"""The files' random weights let signals nearly vanish on their way, and batch norms magnify what is left."""

STORED_HALF = 2.0**-11  # of the largest value: what rounding to float16 takes
PICTURE_ROW = 24  # the row of the square that the file calls the first
NORMALIZED = 5e-7  # of values up to 2.7, stored in float32


def compare_static_nets(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return a picture in its square, and what the four networks say; HRNet-W32 where timm is installed."""
    rows = _pictures(file, oracle) if "img.in" in oracle else []
    for dtype, tolerance in ((torch.float64, DEEP_DOUBLE), (torch.float32, DEEP_SINGLE)):
        precision = str(dtype).removeprefix("torch.")
        for backbone in get_args(Backbone):
            if f"{backbone}.embedding256" in oracle and (backbone != "hrnet_w32" or find_spec("timm")):
                rows.append(compare_pairs(file, backbone, _outputs(oracle, backbone, dtype), tolerance, precision))
    if "hrnet_w32.backbone" not in oracle:
        return rows
    if not find_spec("timm"):
        hrnet = [name for name in oracle if name.startswith("hrnet")]
        return [*rows, missing_row(file, hrnet, "pip install 'avf-foundry[hrnet]'")]
    return [*rows, compare_pairs(file, "hrnet_w32, maps of joints", _pose_maps(oracle), STORED_HALF, "float64")]


def _pictures(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return the 8-bit square of a picture, which has to be equal, and a row of it as the networks get it."""
    theirs_3PP = oracle["img.resize48"]
    ours_3PP = letterbox(oracle["img.in"], theirs_3PP.shape[-1]).transpose(2, 0, 1)
    normalized_3PP = normalize_pixels(torch.from_numpy(ours_3PP.copy())[None, :, None].float() / 255)[0, :, 0]
    row = [("img.normalised.first_row", normalized_3PP[:, PICTURE_ROW], oracle["img.normalised.first_row"])]
    return [
        compare_pairs(file, "picture in its square", [("img.resize48", ours_3PP, theirs_3PP)], 0.0, "exact"),
        compare_pairs(file, "picture, normalized", row, NORMALIZED, "float32"),
    ]


def _outputs(oracle: OracleNumbers, backbone: Backbone, dtype: torch.dtype) -> list[Pair]:
    net = _filled_net(oracle, backbone).to(dtype)
    if backbone == "vit_b_16":
        drawn = np.random.RandomState(zlib.crc32(b"x224")).standard_normal((1, 3, 224, 224))
        pictures = torch.from_numpy(drawn.astype(np.float32)).to(dtype)
    else:
        pictures = stored_tensor(oracle, "in.x64", dtype)
    with torch.no_grad():
        out = net(pictures)
    names = ("embedding256", "logits8", "regression2")
    return [
        (f"{backbone}.{name}", ours.numpy(), oracle[f"{backbone}.{name}"])
        for name, ours in zip(names, out, strict=True)
    ]


def _pose_maps(oracle: OracleNumbers) -> list[Pair]:
    """Return the maps of the pose net by their largest value: the file has them in float16."""
    net = _filled_net(oracle, "hrnet_w32")
    assert isinstance(net.model, PoseBackbone)
    theirs_BCHW = oracle["hrnet_w32.backbone"].astype(np.float64)
    with torch.no_grad():
        ours_BCHW = net.model.features(stored_tensor(oracle, "in.x64", torch.float64)[: len(theirs_BCHW)]).numpy()
    largest = np.abs(theirs_BCHW).max()
    return [("hrnet_w32.backbone", ours_BCHW / largest, theirs_BCHW / largest)]


def _filled_net(oracle: OracleNumbers, backbone: Backbone) -> StaticNet:
    """Return a network in float64 and eval mode with the weights that the names in the authors' code draw."""
    gain = json.loads(str(oracle["meta.config"]))[backbone]["gain_on_model_weights_with_dim_over_1"]
    net = StaticNet(backbone, vit_output="imagenet_logits", hrnet_maps="features13", bounded=False)
    state = net.double().state_dict()
    filled = {
        ours: filled_by_name(f"{backbone}.{theirs}", state[ours]).double()
        * (gain if _has_gain(ours, state[ours]) else 1.0)
        for ours, theirs in names_in_checkpoint(net).items()
        if state[ours].is_floating_point()
    }
    net.load_state_dict(filled, strict=False)
    return net.eval()


def _has_gain(name: str, value: Tensor) -> bool:
    return name.startswith("model.") and value.ndim > 1
