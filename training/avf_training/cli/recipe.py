"""avf-train recipe: show every setting and where it was given, check a recipe, print its schema."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, print_answer

STAGES = (
    *("pretrain", "posttrain", "finetune", "study"),
    *("pretrain-images", "finetune-images", "train-frames", "train-speech"),
)


def add(commands: Any) -> None:
    """Add `recipe` with `show`, `check` and `schema`."""
    verbs = add_command_group(commands, "recipe", help="Show, check or describe the settings of a training.")
    verb = add_command(
        verbs,
        "show",
        _run_show,
        help="Print every setting as a training would use it, and where it was given: file and line, or --set.",
    )
    _add_recipe(verb)
    add_json_option(verb)
    verb = add_command(
        verbs, "check", _run_check, help="Check a recipe; exit status 2 with a line for each fault, by file and line."
    )
    _add_recipe(verb)
    verb = add_command(
        verbs,
        "schema",
        _run_schema,
        help="Print the JSON Schema of a stage's recipes, with which an editor completes and checks them.",
        details="In VS Code with the YAML extension, the first line of the recipe is then\n\n"
        "  # yaml-language-server: $schema=pretrain.schema.json\n\nwith the name that --json wrote.",
    )
    _add_stage(verb)
    add_json_option(verb)


def _add_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=STAGES, help="command that takes the recipe")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    _add_stage(parser)
    parser.add_argument("recipe", metavar="NAME|FILE", help="a shipped recipe of the stage, or a file")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one setting on top, as in --set seed=1; may be repeated",
    )


def _run_show(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from avf_shards.settings.origins import describe_settings, list_settings

    from avf_training.cli.recipe_stages import find_stage, read_stage_recipe

    stage = find_stage(options.stage)
    read = read_stage_recipe(stage, options.recipe, options.set)
    settings = list_settings(read.bind(stage.settings), read.positions)
    print_answer(options, [asdict(setting) for setting in settings], describe_settings(settings))
    return 0


def _run_check(options: argparse.Namespace) -> int:
    from avf_training.cli.recipe_stages import find_stage, read_stage_recipe

    stage = find_stage(options.stage)
    read_stage_recipe(stage, options.recipe, options.set).bind(stage.settings)
    print(f"{options.recipe}: a recipe of {options.stage} without faults")
    return 0


def _run_schema(options: argparse.Namespace) -> int:
    from avf_shards.cli.common import to_json
    from avf_shards.settings.json_schema import DIALECT, table_schema

    from avf_training.cli.recipe_stages import BASED_ON, find_stage

    schema = table_schema(find_stage(options.stage).settings)
    if options.stage != "study":
        schema["properties"] = {"based_on": BASED_ON, **schema["properties"]}
    schema = {"$schema": DIALECT, "title": f"Recipe of avf-train {options.stage}", **schema}
    print_answer(options, schema, to_json(schema))
    return 0
