"""The networks of single pictures beside those of the SUN team, at full size."""

import json
import zlib
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.data.transforms import normalize_pixels
from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.models.static_nets import Backbone, StaticNet
from avf_training.framewise.parity.model_files import filled_by_name, missing_row, stored_tensor
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_pairs

DEEP_DOUBLE, DEEP_SINGLE = 1e-6, 1e-3
"""The files' random weights let signals nearly vanish on their way, and batch norms magnify what is left."""

PICTURE_ROW = 24  # the row of the square that the file calls the first
NORMALIZED = 5e-7  # of values up to 2.7, stored in float32


def compare_static_nets(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return a picture in its square, embeddings and outputs of EfficientNet-B1, B4 and ViT-B/16; HRNet is not here."""
    rows = _pictures(file, oracle) if "img.in" in oracle else []
    for dtype, tolerance in ((torch.float64, DEEP_DOUBLE), (torch.float32, DEEP_SINGLE)):
        precision = str(dtype).removeprefix("torch.")
        for backbone in get_args(Backbone):
            rows.append(compare_pairs(file, backbone, _outputs(oracle, backbone, dtype), tolerance, precision))
    others = [name for name in oracle if name.startswith("hrnet")]
    return [*rows, missing_row(file, others, "not in the product")] if others else rows


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
    gain = json.loads(str(oracle["meta.config"]))[backbone]["gain_on_model_weights_with_dim_over_1"]
    net = StaticNet(backbone, vit_output="imagenet_logits", bounded=False)
    net.double().load_state_dict(
        {
            name: filled_by_name(f"{backbone}.{name}", value).double() * (gain if _has_gain(name, value) else 1.0)
            for name, value in net.state_dict().items()
            if value.is_floating_point()
        },
        strict=False,
    )
    net.to(dtype).eval()
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


def _has_gain(name: str, value: Tensor) -> bool:
    return name.startswith("model.") and value.ndim > 1
