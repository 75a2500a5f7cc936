"""The recipes of each command that trains: their folder, and the dataclass that reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.settings.yaml_settings import YamlSettings

from avf_training.config.finetune import FinetuneRecipe
from avf_training.config.pretrain import FOLDER, PretrainRecipe, recipe_settings
from avf_training.framewise.pictures import finetune_recipe, pretrain_recipe
from avf_training.framewise.pictures.finetune_recipe import ImageFinetuneRecipe
from avf_training.framewise.pictures.pretrain_recipe import ImagePretrainRecipe
from avf_training.framewise.speech.speech_recipe import SPEECH_RECIPES, SpeechRecipe
from avf_training.framewise.training.frame_recipe import FRAME_RECIPES, FrameRecipe
from avf_training.study.plan import Study

#: Schema of the key with which a recipe takes over another one's settings.
BASED_ON = {"type": "string", "description": "name of the shipped recipe whose settings hold where this one has none"}


@dataclass(frozen=True, kw_only=True)
class RecipeStage:
    """The recipes of one command."""

    folder: Path  # of the shipped ones
    settings: type[Any]  # dataclass that a recipe fills


_STAGES = {
    "pretrain": RecipeStage(folder=FOLDER, settings=PretrainRecipe),
    "posttrain": RecipeStage(folder=FOLDER / "posttrain", settings=FinetuneRecipe),
    "finetune": RecipeStage(folder=FOLDER / "finetune", settings=FinetuneRecipe),
    "study": RecipeStage(folder=FOLDER / "study", settings=Study),
    "pretrain-images": RecipeStage(folder=FOLDER / pretrain_recipe.RECIPES, settings=ImagePretrainRecipe),
    "finetune-images": RecipeStage(folder=FOLDER / finetune_recipe.RECIPES, settings=ImageFinetuneRecipe),
    "train-frames": RecipeStage(folder=FRAME_RECIPES, settings=FrameRecipe),
    "train-speech": RecipeStage(folder=SPEECH_RECIPES, settings=SpeechRecipe),
}


def find_stage(command: str) -> RecipeStage:
    """Return the recipes of a command that trains."""
    return _STAGES[command]


def read_stage_recipe(stage: RecipeStage, name: str, overrides: Sequence[str]) -> YamlSettings:
    """Return the settings of a recipe of a stage, by name or path, with `overrides` applied. Raises UserError."""
    return recipe_settings(name, stage.folder, overrides)
