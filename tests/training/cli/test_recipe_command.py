"""The recipes of each command that trains: shown with where values were given, checked, and described by a schema."""

import json
from pathlib import Path

import pytest
import yaml
from avf_training.cli.main import main
from avf_training.cli.recipe import STAGES
from avf_training.cli.recipe_stages import find_stage
from jsonschema import Draft202012Validator


@pytest.mark.parametrize("stage", STAGES)
def test_each_shipped_recipe_is_checked_and_agrees_with_the_schema(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "schema", stage]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    paths = sorted(find_stage(stage).folder.glob("*.yaml"))
    assert paths
    for path in paths:
        values = yaml.safe_load(path.read_text())
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(values)]
        assert errors == [], path
        assert main(["recipe", "check", stage, path.stem]) == 0
        assert capsys.readouterr().out == f"{path.stem}: a recipe without faults\n"


def test_values_of_the_recipe_below_and_of_the_program_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("based_on: nano\nbatch: 16\n")
    assert main(["recipe", "show", "pretrain", str(own), "--set", "seed=3", "--json", "-"]) == 0
    shown = {row["name"]: (row["value"], row["position"]) for row in json.loads(capsys.readouterr().out)}
    assert shown["batch"] == (16, f"{own}:2")
    assert shown["seed"] == (3, "--set seed=3")
    assert shown["model"][0] == "nano"
    assert shown["model"][1].startswith("nano.yaml:")
    assert shown["any_start_frame"] == (False, "the program")


def test_a_recipe_with_faults_is_refused_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("based_on: nano\nbatsh: 16\n")
    assert main(["recipe", "check", "pretrain", str(own)]) == 2
    assert f"{own}:2: batsh: unknown setting" in capsys.readouterr().err
