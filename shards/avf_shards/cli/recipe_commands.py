"""The commands `recipe show`, `recipe check` and `recipe schema`, which the programs with recipes share."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, print_answer, to_json
from avf_shards.settings.origins import SettingOrigin, describe_settings


@dataclass(frozen=True, kw_only=True)
class RecipeCommands:
    """What a program's recipes are of, and how they are read. `options.recipe` is the recipe's name or file."""

    purpose: str  # what the settings are of, as "a run"
    details: str  # more on what `show` prints; may be empty
    add_recipe: Callable[[argparse.ArgumentParser], None]  # adds the arguments that name a recipe
    add_kind: Callable[[argparse.ArgumentParser], None]  # adds the arguments that name what recipes are of
    read: Callable[[argparse.Namespace], list[SettingOrigin]]  # raises UserError with a line for each fault
    schema: Callable[[argparse.Namespace], dict[str, Any]]  # the JSON Schema


def add_recipe_commands(commands: Any, recipes: RecipeCommands) -> None:
    """Add `recipe` with its three subcommands to a program."""

    def show(options: argparse.Namespace) -> int:
        settings = recipes.read(options)
        print_answer(options, [asdict(setting) for setting in settings], describe_settings(settings))
        return 0

    def check(options: argparse.Namespace) -> int:
        recipes.read(options)
        print(f"{options.recipe or 'default'}: a recipe without faults")
        return 0

    def schema(options: argparse.Namespace) -> int:
        values = recipes.schema(options)
        print_answer(options, values, to_json(values))
        return 0

    verbs = add_command_group(commands, "recipe", help=f"Show, check or describe the settings of {recipes.purpose}.")
    verb = add_command(
        verbs,
        "show",
        show,
        help=f"Print every setting as {recipes.purpose} would use it, and where it was given: file and line, or --set.",
        details=recipes.details,
    )
    recipes.add_recipe(verb)
    add_json_option(verb)
    verb = add_command(
        verbs, "check", check, help="Check a recipe; exit status 2 with a line for each fault, by file and line."
    )
    recipes.add_recipe(verb)
    verb = add_command(
        verbs,
        "schema",
        schema,
        help="Print the JSON Schema of a recipe, with which an editor completes and checks it.",
        details="In VS Code with the YAML extension, the first line of the recipe is then\n\n"
        "  # yaml-language-server: $schema=recipe.schema.json\n\nwith the name that --json wrote.",
    )
    recipes.add_kind(verb)
    add_json_option(verb)
