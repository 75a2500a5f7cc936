"""Settings that can hardly be meant give a hint with the setting to change; usual ones give none."""

from dataclasses import replace
from typing import Any

import pytest
from avf_training.config.hints import log_hints, recipe_hints
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.models.config import Precision
from avf_training.trainer.stream_run import run_lengths

USUAL: dict[str, Any] = {
    "batch": 8,
    "clips": 29,
    "lengths": (100, 10),
    "precision": Precision(compute="fp32"),
    "device_type": "cpu",
}


@pytest.mark.parametrize(
    ("values", "hints"),
    [
        ({}, []),
        ({"precision": Precision(compute="bf16"), "device_type": "cuda"}, []),
        ({"batch": 1312}, ["batch 1312 takes the 29 clips of an epoch more than once"]),
        ({"batch": 1312, "noun": "picture"}, ["batch 1312 takes the 29 pictures of an epoch more than once"]),
        ({"precision": Precision(compute="fp16")}, ["--set precision.compute=fp32"]),
        ({"lengths": (100, 100)}, ["--set warmup_steps=10"]),
    ],
)
def test_a_setting_that_can_hardly_be_meant_gives_a_hint(values: dict[str, Any], hints: list[str]) -> None:
    given = recipe_hints(**(USUAL | values))
    assert len(given) == len(hints)
    assert all(hint in sentence for hint, sentence in zip(hints, given, strict=True))


def test_the_batch_of_a_hint_fits_the_clips() -> None:
    (hint,) = recipe_hints(**(USUAL | {"batch": 1312}))
    assert "--set batch=16 --set micro_batch=8" in hint


@pytest.mark.parametrize(
    ("epochs", "steps", "clips", "sentence"),
    [
        (2, None, 40, "the whole run is 1 step, for epochs is 2 and there are 40 pictures to train on"),
        (0.5, None, 640, "the whole run is 5 steps, for epochs is 0.5 and there are 640 pictures to train on"),
        (2, 1, 40, None),  # a length that was asked for
        (20, None, 40, None),
    ],
)
def test_a_run_of_few_steps_is_told(
    epochs: float, steps: int | None, clips: int, sentence: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings = (f"epochs={epochs}", *([] if steps is None else [f"steps={steps}"]))
    recipe = load_image_finetune_recipe("sun_b1", settings)
    length, _ = run_lengths(recipe, clips, "picture")
    log_hints(recipe, clips=clips, steps=length, warmup_steps=0, device_type="cpu", noun="picture")
    if sentence is None:
        assert "the whole run" not in caplog.text
    else:
        assert sentence in caplog.text
        proposed = int(caplog.text.split("--set epochs=")[1].split()[0])
        assert run_lengths(replace(recipe, epochs=proposed), clips)[0] >= 100
