"""avf-curate recipe: show every setting and where it was given, check a recipe, print its schema."""

import argparse
from typing import Any

from avf_shards.cli.recipe_commands import RecipeCommands, add_recipe_commands
from avf_shards.settings.origins import SettingOrigin

from avf_curation.cli.options import add_recipe_option, add_set_option


def add(commands: Any) -> None:
    """Add `recipe` with `show`, `check` and `schema`."""
    recipes = RecipeCommands(
        purpose="a run",
        details="A setting of one source is shown where its recipe gives it another value than all sources have.",
        add_recipe=_add_settings,
        add_kind=lambda parser: None,  # all runs have one kind of recipe
        read=_read,
        schema=_schema,
    )
    add_recipe_commands(commands, recipes)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add_recipe_option(parser, "settings that differ from the default recipe: a file, or the name of a shipped one")
    add_set_option(parser, "change one setting on top, as in --set sync.min_confidence=4; may be repeated")


def _read(options: argparse.Namespace) -> list[SettingOrigin]:
    from avf_curation.audit.recipe_view import list_recipe_settings
    from avf_curation.recipe import load_recipe

    return list_recipe_settings(load_recipe(options.recipe, options.set))


def _schema(options: argparse.Namespace) -> dict[str, Any]:
    from avf_curation.audit.recipe_view import recipe_schema

    return recipe_schema()
