"""A recipe's settings are shown with where each was given, its faults with file and line, and its schema agrees."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from avf_curation.audit.recipe_view import recipe_schema
from avf_curation.cli.main import main
from avf_curation.recipe import DEFAULT, load_recipe
from avf_shards.errors import UserError
from avf_shards.settings.config import flatten
from jsonschema import Draft202012Validator

RECIPE = """\
sync: {min_confidence: 4}
sources:
  tv:
    silence:
      top_db: 25
"""
VALIDATOR = Draft202012Validator(recipe_schema())


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return path


def test_each_value_shows_where_it_was_given(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recipe", "show", "--recipe", str(recipe), "--set", "track.max_step=0.5", "--json", "-"]
    assert main(words) == 0
    shown = {row["name"]: (row["value"], row["position"]) for row in json.loads(capsys.readouterr().out)}
    assert shown["sync.min_confidence"] == (4.0, f"{recipe}:1")
    assert shown["sources.tv.silence.top_db"] == (25.0, f"{recipe}:5")
    assert shown["track.max_step"] == (0.5, "--set track.max_step=0.5")
    line = next(n for n, text in enumerate(DEFAULT.read_text().splitlines(), 1) if text.strip().startswith("top_db:"))
    assert shown["silence.top_db"][1] == f"default.yaml:{line}"
    assert not [name for name in shown if name.startswith("sources.tv.") and name != "sources.tv.silence.top_db"]
    assert flatten(load_recipe().values).keys() - {"sources", "hybrid"} <= shown.keys()


def test_the_table_has_a_line_for_each_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[0] == "sync.shifts" and "default.yaml:" in line.split()[-1] for line in lines)


def test_a_recipe_is_checked_without_a_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "check", "--recipe", str(recipe)]) == 0
    assert capsys.readouterr().out == f"{recipe}: a recipe without faults\n"
    recipe.write_text("sync: {min_confidense: 4}\ntrack:\n  max_step: long\n")
    assert main(["recipe", "check", "--recipe", str(recipe)]) == 2
    faults = capsys.readouterr().err
    assert f"{recipe}:1: sync.min_confidense: unknown setting" in faults
    assert f"{recipe}:3: track.max_step: expected a number" in faults


@pytest.mark.parametrize("path", sorted(DEFAULT.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_shipped_recipe_agrees_with_the_schema(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize(
    "values",
    [
        {"sync": {"min_confidense": 4}},
        {"sync": {"min_confidence": "high"}},
        {"track": {"backend": "yolo"}},
        {"sources": {"tv": {"silense": {}}}},
        {"run": {"kills": 1.5}},
        {"clip": 3},
    ],
)
def test_what_a_run_refuses_the_schema_refuses(values: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(values)
    with pytest.raises(UserError):
        load_recipe(None, [f"{name}={json.dumps(value)}" for name, value in flatten(values).items()])


def test_the_schema_explains_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    setting = schema["properties"]["sync"]["properties"]["min_confidence"]
    assert setting["default"] == load_recipe().defaults.sync.min_confidence
    assert setting["description"]
    tables = [table for table in schema["properties"].values() if table.get("properties")]
    silent = [name for table in tables for name, value in table["properties"].items() if not value.get("description")]
    assert silent == []
