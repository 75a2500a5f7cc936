"""The switch between our choices and the authors' code: 32 items, each an option, each told."""

import ast
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.losses import log_cosh_loss
from avf_training.framewise.models.static_layers import static_rates
from avf_training.framewise.models.static_nets import StaticNet, StaticNetConfig
from avf_training.framewise.protocol import (
    TOLD_ALONE,
    USED_BY,
    ProtocolOptions,
    choose_protocol,
    list_differences,
    list_used_options,
    part_of_model,
)
from avf_training.framewise.training.frame_objective import make_frame_loss
from avf_training.framewise.training.frame_recipe import FrameRecipe, load_frame_recipe
from avf_training.framewise.training.frame_schedule import choose_schedule, make_frame_schedule
from avf_training.framewise.training.frame_scores import score_frames
from avf_training.framewise.training.window_data import cut_evaluation_windows


def test_every_one_of_the_32_differences_is_an_option() -> None:
    lines = list_differences(ProtocolOptions())
    assert [line.source.number for line in lines] == list(range(1, 33))
    assert len({line.option for line in lines}) == 32
    assert all(line.source.item and line.source.paper and line.source.code for line in lines)
    assert all(line.source.paper != "-" or line.source.code != "-" for line in lines)


def test_the_switch_sets_all_and_the_report_says_which_ran() -> None:
    ours, authors = choose_protocol("ours"), choose_protocol("authors_code")
    assert ours == ProtocolOptions()
    assert {line.chosen for line in list_differences(ours)} == {"ours", "both"}
    assert {line.chosen for line in list_differences(authors)} == {"authors_code", "both"}
    assert (ours.layer_rate_factor, authors.layer_rate_factor) == (0.9, 0.85)
    assert (ours.last_window, authors.last_window) == ("append", "overwrite_or_never")


def test_a_single_option_can_differ_from_its_protocol() -> None:
    mixed = choose_protocol("authors_code", {"clamp_in_loss": "no", "face_margin_px": 12})
    chosen = {line.option: line.chosen for line in list_differences(mixed)}
    assert chosen["clamp_in_loss"] == "ours"
    assert chosen["face_margin_px"] == "other"
    assert chosen["audio_clock"] == "authors_code"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("official", {}, "protocol: 'official'; it is ours or authors_code"),
        ("ours", {"clamp": "yes"}, "no option 'clamp'; the options are unfreezing_with_layer_rates"),
        ("ours", {"clamp_in_loss": True}, "clamp_in_loss: True; it is no or yes"),
        ("ours", {"layer_rate_factor": "0.9"}, "layer_rate_factor: '0.9'; it is a number above 0"),
        ("ours", {"layer_rate_factor": float("nan")}, "layer_rate_factor: nan; it is a number above 0"),
        ("ours", {"face_margin_px": 1.5}, "face_margin_px: 1.5; it is a whole number"),
    ],
)
def test_an_unknown_protocol_option_or_value_is_refused(name: str, changes: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_protocol(name, changes)


FRAMEWISE = Path(list_differences.__code__.co_filename).parent
MODULES: dict[str, tuple[str, ...]] = {
    "static networks": ("models/static_layers.py", "pictures/static_network.py"),
    "pictures": ("pictures/finetuning_loss.py",),
    "image MAE": ("pictures/pretraining.py", "pictures/pretraining_step.py"),
    "acoustic models": ("speech/speech_training.py", "speech/speech_objective.py"),
    "temporal": ("training/*.py",),
    "temporal versions": ("training/*.py",),
    "cross-attention": ("training/*.py",),
    "fusion transformer": ("training/*.py",),
    "kernel machine": ("training/kernel_machine.py",),
    "ensemble": ("combination/*.py", "ensemble/fold_table.py"),
}
"""Part of the systems -> where its options are read."""


@cache
def read_options(pattern: str) -> set[str]:
    """Return the names of options that modules read: attributes of what is called `options`, and names in texts."""
    names = {each.name for each in fields(ProtocolOptions)}
    read: set[str] = set()
    for path in FRAMEWISE.glob(pattern):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and "options" in ast.unparse(node.value):
                read |= {node.attr} & names
    return read


def test_each_option_acts_where_the_table_says_or_is_told_alone() -> None:
    names = {each.name for each in fields(ProtocolOptions)}
    assert USED_BY.keys() | TOLD_ALONE.keys() == names
    assert not USED_BY.keys() & TOLD_ALONE.keys()
    for option, parts in USED_BY.items():
        if option != "folds":  # has one value, and is told where an ensemble has folds
            for part in parts:
                assert any(option in read_options(pattern) for pattern in MODULES[part]), (option, part)
    everywhere = read_options("**/*.py")
    assert everywhere == USED_BY.keys() - {"folds"}, "what is told alone is read nowhere"


def recipe_of(name: str) -> FrameRecipe:
    return load_frame_recipe(name, ["visual=[v]"])


def loss_of(task: str, options: ProtocolOptions) -> float:
    """Return the loss of 12 random frames; expressions have labels of two classes, of unlike weights."""
    random = torch.Generator().manual_seed(0)
    recipe = load_frame_recipe("netease_fusion", ["visual=[v]"])
    frame_loss = make_frame_loss(find_task(task), recipe, options, [4, 1, 2, 3, 4, 5, 6, 7])
    predicted = 3 * torch.randn(12, 2 if task == "va" else 8, generator=random)
    truth = torch.rand(12, 2, generator=random) if task == "va" else torch.tensor([[0.0], [1.0]] * 6)
    return float(frame_loss(predicted, truth))


def rates_of_layers(options: ProtocolOptions) -> dict[str, float]:
    return static_rates(
        StaticNet.from_config(StaticNetConfig(backbone="efficientnet_b1", size_px=240, classes=0)), options
    )


VALUES = np.random.default_rng(0).uniform(-1, 1, (40, 2))
OBSERVED: dict[str, tuple[str | float, Callable[[ProtocolOptions], Any]]] = {
    "layer_rate_factor": (0.5, lambda options: sum(rates_of_layers(options).values())),
    "unfreezing_with_layer_rates": ("open_at_first", lambda options: len(rates_of_layers(options))),
    "warmup_start_rate": (
        1e-5,
        lambda options: make_frame_schedule(recipe_of("sun_temporal"), options, steps=9, steps_per_epoch=3).rate_of(0),
    ),
    "fusion_rate": ("triangle", lambda options: choose_schedule(recipe_of("netease_fusion"), options)),
    "last_window": (
        "overwrite_or_never",
        lambda options: cut_evaluation_windows(np.arange(1, 48), recipe_of("sun_temporal"), options).rows_VT.tolist(),
    ),
    "dynamic_development": (
        "swapped_unnormalized",
        lambda options: score_frames(find_task("va"), VALUES, VALUES * [1, 0.5], options)["CCC valence"],
    ),
    "clamp_in_loss": ("yes", lambda options: loss_of("va", options)),
    "expression_loss_divides_by": ("classes", lambda options: loss_of("expr", options)),
    "log_cosh_reduction": (
        "sum",
        lambda options: float(log_cosh_loss(torch.arange(3.0), torch.zeros(3), options.log_cosh_reduction)),
    ),
}
"""Option -> another value, and something that both values compute."""


@pytest.mark.parametrize("option", OBSERVED)
def test_another_value_computes_something_else(option: str) -> None:
    value, observe = OBSERVED[option]
    assert observe(choose_protocol("ours", {option: value})) != observe(choose_protocol("ours"))


def test_what_a_model_uses_depends_on_its_kind_and_task() -> None:
    assert part_of_model("temporal_v4") == "temporal versions"
    assert part_of_model("somebody's") is None
    used = list_used_options("fusion transformer", "va")
    assert "clamp_in_loss" in used
    assert "expression_loss_divides_by" not in used
    assert not {"hrnet_input", "retinaface_means", "last_window"} & set(used)
