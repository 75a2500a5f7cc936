"""Settings that can hardly be meant give a hint with the setting to change; usual ones give none."""

from typing import Any

import pytest
from avf_training.config.hints import recipe_hints
from avf_training.models.config import Precision

USUAL: dict[str, Any] = {
    "batch": 8,
    "clips": 29,
    "steps": 100,
    "warmup_steps": 10,
    "precision": Precision(compute="fp32"),
    "device_type": "cpu",
}


@pytest.mark.parametrize(
    ("values", "hints"),
    [
        ({}, []),
        ({"precision": Precision(compute="bf16"), "device_type": "cuda"}, []),
        ({"batch": 1312}, ["batch 1312 takes the 29 clips of an epoch more than once"]),
        ({"precision": Precision(compute="fp16")}, ["--set precision.compute=fp32"]),
        ({"warmup_steps": 100}, ["--set warmup_steps=10"]),
    ],
)
def test_a_setting_that_can_hardly_be_meant_gives_a_hint(values: dict[str, Any], hints: list[str]) -> None:
    given = recipe_hints(**(USUAL | values))
    assert len(given) == len(hints)
    assert all(hint in sentence for hint, sentence in zip(hints, given, strict=True))


def test_the_batch_of_a_hint_fits_the_clips() -> None:
    (hint,) = recipe_hints(**(USUAL | {"batch": 1312}))
    assert "--set batch=16 --set micro_batch=8" in hint
