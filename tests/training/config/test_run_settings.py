"""Settings that recipes share are refused by name where they can mean nothing, in the recipe of every stage."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from avf_shards.errors import UserError
from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.pretrain import load_recipe
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.speech.speech_recipe import load_speech_recipe
from avf_training.framewise.training.frame_recipe import load_frame_recipe

LOADERS: dict[str, Callable[[tuple[str, ...]], Any]] = {
    "pretrain": partial(load_recipe, "nano"),
    "finetune": partial(load_finetune_recipe, "finetune", "avfmaepp_b"),
    "pretrain-images": partial(load_image_recipe, "image_mae_tiny"),
    "finetune-images": partial(load_image_finetune_recipe, "image_features_tiny"),
    "train-frames": partial(load_frame_recipe, "sun_temporal"),
    "train-speech": partial(load_speech_recipe, "sun_v1"),
}
WRONG = {
    "seed=-1": "seed -1 must be at least 0",
    "seed=4294967296": "seed 4294967296 must be at most 4294967295",
    "threads=0": "threads 0 must be at least 1",
    "threads=-1": "threads -1 must be at least 1",
    "warmup_steps=-1": "warmup_steps -1 must be at least 0",
    "nonfinite_limit=0": "nonfinite_limit 0 must be at least 1",
    "max_fault_share=-0.5": "max_fault_share -0.5 must lie between 0 and 1",
    "clip_norm=0": r"clip_norm 0(\.0)? must be above 0, or null",
    "weight_decay=-0.1": "weight_decay -0.1 must be at least 0",
    "workers=-1": "workers -1 must be at least 0",
    "elm.landmarks=0": "elm.landmarks 0 must be at least 1",
    "elm.exact_rows=-1": "elm.exact_rows -1 must be at least 1",
}


@pytest.mark.parametrize("stage", LOADERS)
def test_a_setting_that_can_mean_nothing_is_refused(stage: str) -> None:
    for setting, message in WRONG.items():
        with pytest.raises(UserError, match=f"({message}|unknown setting)"):
            LOADERS[stage]((setting,))


def test_every_stage_has_the_settings_that_started_runs_with_a_traceback() -> None:
    for stage, load in LOADERS.items():
        for setting in ("seed=-1", "threads=-1"):
            with pytest.raises(UserError) as caught:
                load((setting,))
            assert "unknown setting" not in str(caught.value), stage
