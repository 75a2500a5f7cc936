"""avf-curate recipe: show every setting and where it was given, check a recipe, print its schema."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, print_answer

from avf_curation.cli.options import add_recipe_option, add_set_option


def add(commands: Any) -> None:
    """Add `recipe` with `show`, `check` and `schema`."""
    verbs = add_command_group(commands, "recipe", help="Show, check or describe the settings of a run.")
    verb = add_command(
        verbs,
        "show",
        _run_show,
        help="Print every setting as a run would use it, and where it was given: file and line, or --set.",
        details="A setting of one source is shown where its recipe gives it another value than all sources have.",
    )
    _add_settings(verb)
    add_json_option(verb)
    verb = add_command(
        verbs, "check", _run_check, help="Check a recipe; exit status 2 with a line for each fault, by file and line."
    )
    _add_settings(verb)
    verb = add_command(
        verbs,
        "schema",
        _run_schema,
        help="Print the JSON Schema of a recipe, with which an editor completes and checks it.",
        details="In VS Code with the YAML extension, the first line of the recipe is then\n\n"
        "  # yaml-language-server: $schema=recipe.schema.json\n\nwith the name that --json wrote.",
    )
    add_json_option(verb)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add_recipe_option(parser, "settings that differ from the default recipe: a file, or the name of a shipped one")
    add_set_option(parser, "change one setting on top, as in --set sync.min_confidence=4; may be repeated")


def _run_show(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from avf_shards.settings.origins import describe_settings

    from avf_curation.audit.recipe_view import list_recipe_settings
    from avf_curation.recipe import load_recipe

    settings = list_recipe_settings(load_recipe(options.recipe, options.set))
    values = [asdict(setting) for setting in settings]
    print_answer(options, values, describe_settings(settings))
    return 0


def _run_check(options: argparse.Namespace) -> int:
    from avf_curation.recipe import load_recipe

    load_recipe(options.recipe, options.set)
    name = options.recipe if options.recipe is not None else Path("default")
    print(f"{name}: a recipe without faults")
    return 0


def _run_schema(options: argparse.Namespace) -> int:
    from avf_shards.cli.common import to_json

    from avf_curation.audit.recipe_view import recipe_schema

    schema = recipe_schema()
    print_answer(options, schema, to_json(schema))
    return 0
