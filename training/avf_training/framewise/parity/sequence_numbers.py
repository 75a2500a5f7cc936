"""The sequence models beside those of the authors: SUN's layer and models over time, and NetEase's fusion."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.losses import (
    valence_arousal_loss,
    weighted_action_unit_loss,
    weighted_expression_loss,
)
from avf_training.framewise.models.checkpoint_names import import_layer
from avf_training.framewise.models.fusion_transformer import FrameTask, FusionTransformer
from avf_training.framewise.models.layers import SequenceLayer, key_mask, position_table
from avf_training.framewise.models.name_rules import CROSS_LAYER, LAYER
from avf_training.framewise.models.temporal import TemporalVersion, temporal_model
from avf_training.framewise.parity.model_files import (
    compare_both_precisions,
    gradients_by_their_names,
    load_filled,
    load_stored,
    stored_tensor,
    switch_off_dropout,
)
from avf_training.framewise.parity.rows import OracleNumbers, compare_pairs

TABLE = 2e-6
"""Processors round the exponential of float32 in their own ways, and the longest angles carry that into the table."""


def compare_layers(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return the layer's outputs with both kinds of names and masks, and the tables of positions."""
    tables = [
        (name, position_table(theirs.shape[1], theirs.shape[2])[None].numpy(), theirs)
        for name, theirs in oracle.items()
        if name.startswith("pe.")
    ]
    rows = [compare_pairs(file, "tables of positions", tables, TABLE, "float32")]
    return rows + compare_both_precisions(file, oracle, partial(_layer_outputs, oracle))


def _layer_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    sizes = json.loads(str(oracle["meta.config"]))
    query, key, value = (stored_tensor(oracle, f"layer.in.{name}", dtype) for name in ("query", "key", "value"))
    valid = stored_tensor(oracle, "layer2.in.mask_keys")
    layers = {}
    for prefix, rules in (("layer", LAYER), ("layer2", CROSS_LAYER)):
        layers[prefix] = SequenceLayer(sizes["d"], sizes["heads"])
        start = f"{prefix}.w."
        theirs = {name[len(start) :]: stored_tensor(oracle, name) for name in oracle if name.startswith(start)}
        layers[prefix].load_state_dict(import_layer(theirs, rules))
        layers[prefix].to(dtype).eval()
    first, second = layers["layer"], layers["layer2"]
    return {
        "layer.out.cross": first(query, key, value),
        "layer.out.self": first(query),
        "layer.out.attention_only_no_pe": first.attention(query, key, value, None),
        "layer2.out.unmasked": second(query, key, value),
        "layer2.out.masked": second(query, key, value, key_mask(valid)),
        "layer2.out.mask_tuple": second(query, key, value, key_mask(valid, valid)),
    }


_TEMPORAL: tuple[tuple[str, TemporalVersion, int], ...] = (
    ("v1.va", "v1", 2),
    ("v1.expr", "v1", 8),
    ("v2.expr", "v2", 8),
    ("v3.va", "v3", 2),
    ("v3.expr", "v3", 8),
    ("v5.va", "v5", 2),
    ("v6_1_fps.va", "v6", 2),
    ("v6_1_fps.expr", "v6", 8),
    ("v8_1_fps.va", "v8", 2),
    ("v8_1_fps.expr", "v8", 8),
)
"""(name in the file, version, outputs). Of v4, v7 and v5 with expressions the authors' numbers have no outputs."""


def compare_temporal(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return outputs of the models over time, and of v3 the loss and gradients of a training step."""
    return compare_both_precisions(file, oracle, partial(_temporal_outputs, oracle), _kind)


def _kind(name: str) -> str:
    if ".grad." in name:
        return "gradients"
    return "losses" if name.endswith("loss") else "outputs"


def _temporal_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    x_BTC = stored_tensor(oracle, "in.x", dtype)
    numbers: dict[str, Tensor] = {}
    for prefix, version, outputs in _TEMPORAL:
        model = temporal_model(version, x_BTC.shape[2], outputs, x_BTC.shape[1])
        if any(name.startswith(f"{prefix}.w.") for name in oracle):
            load_stored(model, oracle, f"{prefix}.w.", dtype)
        else:
            load_filled(model, f"{prefix}.", dtype)
        numbers[f"{prefix}.out"] = model(x_BTC)
        if f"{prefix}.train_nodrop.out" not in oracle:
            continue
        switch_off_dropout(model.train())
        out = numbers[f"{prefix}.train_nodrop.out"] = model(x_BTC)
        if f"{prefix}.train_nodrop.target" in oracle:
            loss = valence_arousal_loss(out, stored_tensor(oracle, f"{prefix}.train_nodrop.target", dtype))
            loss.backward()
            numbers[f"{prefix}.train_nodrop.loss"] = loss
            numbers |= gradients_by_their_names(model, oracle, f"{prefix}.grad.")
    return numbers


_TASKS: tuple[tuple[str, FrameTask], ...] = (("VA", "va"), ("EXP", "expr"), ("AU", "au"))
_LOSSES: dict[FrameTask, Callable[[Tensor, Tensor], Tensor]] = {
    "va": partial(valence_arousal_loss, clamp=True),
    "expr": weighted_expression_loss,
    "au": weighted_action_unit_loss,
}


def compare_fusion_transformer(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return outputs, losses and gradients of NetEase's fusion; of expressions the file has the loss alone."""
    numbers = {**oracle, **{name: value for name, value in _settings(oracle).items() if name.endswith(".loss")}}
    return compare_both_precisions(file, numbers, partial(_fusion_outputs, oracle), _kind)


def _settings(oracle: OracleNumbers) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(str(oracle["meta.config"]))
    return settings


def _fusion_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    hidden = tuple(_settings(oracle)["config"]["hidden"])
    visual, audio = (stored_tensor(oracle, f"in.{name}", dtype) for name in ("visual", "audio"))
    numbers: dict[str, Tensor] = {}
    for prefix, task in _TASKS:
        model = FusionTransformer(task, visual_width=visual.shape[2], audio_width=audio.shape[2], hidden=hidden)
        if any(name.startswith(f"{prefix}.w.") for name in oracle):
            load_stored(model, oracle, f"{prefix}.w.", dtype)
        else:
            load_filled(model, f"tmf.{prefix}.", dtype)
        with torch.no_grad():  # torch has a faster path in eval mode, which is compared too
            outputs = {f"{prefix}.eval.out": model(visual, audio)}
        switch_off_dropout(model.train())
        out = outputs[f"{prefix}.train_nodrop.out"] = model(visual, audio)
        loss = numbers[f"{prefix}.loss"] = _LOSSES[task](out, stored_tensor(oracle, f"target.{prefix}", dtype))
        loss.backward()
        numbers |= {name: value for name, value in outputs.items() if name in oracle}
        numbers |= gradients_by_their_names(model, oracle, f"{prefix}.grad.")
    return numbers
