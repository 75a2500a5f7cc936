"""Settings in YAML: each value knows its line, a key counts once, and all faults of a file come together."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.settings.config import refuse
from avf_shards.settings.yaml_settings import YamlSettings, read_settings


@dataclass(frozen=True, kw_only=True)
class Limits:
    low: float = 0.0
    high: float = 1.0
    name: str = "a"

    def __post_init__(self) -> None:
        refuse((self.low < 0, f"low {self.low:g} is negative"), (self.low > self.high, "low must be below high"))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two tables, of which a rule names values by their dotted names."""

    limits: Limits
    name: Limits

    def __post_init__(self) -> None:
        refuse((self.limits.low > self.name.high, "limits.low is above name.high, whatever name says"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    limits: Limits
    rows: tuple[Limits, ...] = ()
    tables: dict[str, Limits] = field(default_factory=dict)


def read(folder: Path, text: str, name: str = "mine.yaml") -> YamlSettings:
    (folder / name).write_text(text)
    return read_settings(folder / name, name)


def faults_of(settings: YamlSettings) -> list[str]:
    with pytest.raises(UserError) as caught:
        settings.bind(Settings)
    return str(caught.value).splitlines()


def test_every_fault_is_reported_with_its_line(tmp_path: Path) -> None:
    text = """\
limits:
  hihg: 2
  low: -3
  low: -2
rows:
- {low: 1}
- name: 5
  high: a lot
tables:
  x: {low: [1]}
  y: 3
colour: red
"""
    assert faults_of(read(tmp_path, text)) == [
        "mine.yaml:4: limits.low: given twice, first in line 3; keep one of them",
        "mine.yaml:12: colour: unknown setting; known here: limits, rows, tables",
        "mine.yaml:2: limits.hihg: unknown setting; did you mean 'high'?",
        "mine.yaml:4: limits: low -2 is negative",
        "mine.yaml:8: rows[1].high: expected a number, got 'a lot'",
        "mine.yaml:7: rows[1].name: expected text, got 5",
        "mine.yaml:10: tables.x.low: expected a number, got [1]",
        "mine.yaml:11: tables.y: expected a table of settings, got 3",
    ]


def test_a_fault_is_where_the_value_came_from(tmp_path: Path) -> None:
    base = read(tmp_path, "limits:\n  low: 0\n  high: 1\n", "base.yaml")
    user_recipe = read(tmp_path, "limits:\n  low: 2\n")
    merged = base.merge(user_recipe)
    assert faults_of(merged) == ["mine.yaml:2, base.yaml:3: limits: low must be below high"]
    assert faults_of(base.override("limits.low=wide", "a=1")) == [
        "--set limits.low=wide: limits.low: expected a number, got 'wide'"
    ]
    assert faults_of(merged.override("tables={x: {low: 1, low: 1}}", "a=1"))[0].startswith(
        "--set tables={x: {low: 1, low: 1}}: tables.x.low: given twice"
    )
    assert merged.override("limits.high=3", "a=1").bind(Settings) == Settings(limits=Limits(low=2, high=3))
    assert faults_of(read(tmp_path, "rows: []\n")) == ["mine.yaml: limits: missing, and it has no default"]


def test_a_rule_about_values_of_two_tables_names_where_those_values_came_from(tmp_path: Path) -> None:
    base = read(tmp_path, "limits:\n  low: 0\n  high: 9\nname:\n  low: 0\n  high: 1\n", "base.yaml")
    settings = base.merge(read(tmp_path, "limits:\n  high: 8\n")).override("limits.low=2", "a=1")
    with pytest.raises(UserError, match=r"^--set limits.low=2, base.yaml:6: Pair: limits.low is above name.high, "):
        settings.bind(Pair)


def test_what_a_table_held_before_another_value_took_its_place_is_not_named(tmp_path: Path) -> None:
    base = read(tmp_path, "limits:\n  low: 0\n  high: 1\nrows:\n- {low: 0}\n- {low: 0}\n", "base.yaml")
    replaced = base.merge(read(tmp_path, "limits: 5\nrows:\n- {high: -1}\n"))
    assert faults_of(replaced) == [
        "mine.yaml:1: limits: expected a table of settings, got 5",
        "mine.yaml:3: rows[0]: low must be below high",
    ]
    assert not [position for position in replaced.positions.values() if position.startswith("base.yaml:")]
    assert faults_of(base.override("limits=[]", "a=1"))[0].startswith("--set limits=[]: limits: expected a table")


def test_a_value_that_a_table_takes_over_from_another_stands_where_it_was_written(tmp_path: Path) -> None:
    base = read(tmp_path, "limits:\n  low: 0\n  high: 1\n", "base.yaml")
    text = "tables:\n  a: &a\n    high: 5\n    low: 4\nlimits:\n  <<: [*a, {high: 7}]\n  high: 3\n"
    assert faults_of(base.merge(read(tmp_path, text))) == ["mine.yaml:4, mine.yaml:7: limits: low must be below high"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limits:\n  low: [1\nrows: 2\n", r"^mine.yaml:3: not a recipe file \(while parsing a flow sequence, "),
        ("- 1\n", "^mine.yaml: a recipe is a table of settings, this is list"),
        ("a: \0", r"^mine.yaml: not a recipe file \(unacceptable character"),
        ("? [a]\n: b\n", "^mine.yaml:1: not a recipe file"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "m0: &m0 {k: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "its aliases stand for more than 100,000 values"),
        (MERGES, "its aliases stand for more than 100,000 values"),
        ("[" * 100_000, "nested too deeply"),
        ("day: 2026-13-45", "a value that no type holds"),
        (f"n: {'9' * 5000}", "a value that no type holds"),
        ("n: !!int ''", "a value that no type holds"),
        ("n: !!timestamp x", "a value that no type holds"),
        ("n: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    ],
    ids=["aliases", "merges", "nesting", "date", "digits", "integer", "timestamp", "python"],
)
def test_a_hostile_yaml_file_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^{path}.*: not a recipe file \(.*{message}"):
        read_settings(path)


def test_anchors_and_merged_keys_are_no_repetition(tmp_path: Path) -> None:
    text = "tables:\n  a: &a {low: 0.5}\n  b:\n    <<: *a\n    low: 0.25\n  c: *a\nlimits: *a\n"
    settings = read(tmp_path, text).bind(Settings)
    assert [limits.low for limits in (*settings.tables.values(), settings.limits)] == [0.5, 0.25, 0.5, 0.5]
    with pytest.raises(UserError, match="expected"):
        read(tmp_path, "limits: &a\n  low: *a\n").bind(Settings)
