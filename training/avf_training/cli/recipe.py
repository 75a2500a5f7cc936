"""avf-train recipe: show every setting and where it was given, check a recipe, print its schema."""

import argparse
from typing import Any

from avf_shards.cli.common import set_completer_of_words
from avf_shards.cli.recipe_commands import RecipeCommands, add_recipe_commands
from avf_shards.settings.origins import SettingOrigin

STAGES = (
    *("pretrain", "posttrain", "finetune", "study"),
    *("pretrain-images", "finetune-images", "train-frames", "train-speech"),
)


def add(commands: Any) -> None:
    """Add `recipe` with `show`, `check` and `schema`."""
    recipes = RecipeCommands(
        purpose="a training",
        details="",
        add_recipe=_add_recipe,
        add_kind=_add_stage,
        read=_read,
        schema=_schema,
    )
    add_recipe_commands(commands, recipes)


def _add_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=STAGES, help="command that takes the recipe")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    _add_stage(parser)
    recipe = parser.add_argument("recipe", metavar="NAME|FILE", help="a shipped recipe of the stage, or a file")
    changes = parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one setting on top, as in --set seed=1; may be repeated",
    )
    set_completer_of_words(recipe, _recipe_names)
    set_completer_of_words(changes, _setting_names)


def _recipe_names(options: argparse.Namespace) -> list[str]:
    """Return the names of the shipped recipes of the stage on the line."""
    from avf_training.cli.recipe_stages import find_stage

    return [path.stem for path in find_stage(options.stage).folder.glob("*.yaml")]


def _setting_names(options: argparse.Namespace) -> list[str]:
    """Return every setting of the stage on the line as --set takes it, without a value."""
    from avf_shards.settings.json_schema import list_leaves, table_schema

    from avf_training.cli.recipe_stages import find_stage

    return [f"{name}=" for name in list_leaves(table_schema(find_stage(options.stage).settings))]


def _read(options: argparse.Namespace) -> list[SettingOrigin]:
    from avf_shards.settings.origins import list_settings

    from avf_training.cli.recipe_stages import find_stage, read_stage_recipe

    stage = find_stage(options.stage)
    settings = read_stage_recipe(stage, options.recipe, options.set)
    return list_settings(settings.bind(stage.settings), settings.positions)


def _schema(options: argparse.Namespace) -> dict[str, Any]:
    from avf_shards.settings.json_schema import DIALECT, table_schema

    from avf_training.cli.recipe_stages import BASED_ON, find_stage

    schema = table_schema(find_stage(options.stage).settings)
    if options.stage != "study":
        schema["properties"] = {"based_on": BASED_ON, **schema["properties"]}
    return {"$schema": DIALECT, "title": f"Recipe of avf-train {options.stage}", **schema}
