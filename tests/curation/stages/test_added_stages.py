"""A stage of an installed package has its settings, gates and reasons like ours, and what is wrong with it is named."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.audit.recipe_view import recipe_schema
from avf_curation.audit.unused_settings import find_unused
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe, read_run_recipe, stages_of_run
from avf_curation.runs.identity import run_identity
from avf_curation.stages.added_stages import load_stage, reasons_with
from avf_shards.errors import UserError
from jsonschema import Draft202012Validator
from support.curation_runs import EMBEDDED
from support.plugin_packages import STAGE_TEXT, forget_packages, install, installed_packages, set_version

STAGES = ("scenes", "faces", "silence", "track", "speaker", "sync", "light", "quality")


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def test_a_recipe_without_the_stage_is_the_same_with_and_without_the_package(site: Path) -> None:
    before = run_identity(load_recipe(), EMBEDDED, ["s"])
    install(site, "light", STAGE_TEXT)
    assert run_identity(load_recipe(), EMBEDDED, ["s"]) == before
    assert "plugin_light" not in sys.modules


def test_a_recipe_that_names_the_stage_has_its_settings_and_gates(site: Path) -> None:
    install(site, "light", STAGE_TEXT)
    recipe = load_recipe(None, ["light.max_light=200", "sources.tv.light.every=3", "sources.tv.gates.light=measure"])
    settings = recipe.settings_for("tv")
    assert (settings.light.max_light, settings.light.every, settings.gates.light) == (200.0, 3, "measure")  # type: ignore[attr-defined]
    assert (recipe.defaults.light.every, recipe.defaults.gates.light) == (1, "decide")  # type: ignore[attr-defined]
    assert load_recipe(None, ["gates.light=skip"]).defaults.gates.non_deciding["light"] == "skip"
    assert pickle.loads(pickle.dumps(recipe)).values == recipe.values
    assert pickle.loads(pickle.dumps(recipe)).settings_for("tv").light == settings.light  # type: ignore[attr-defined]
    unused = load_recipe(None, ["light.max_light=200", "gates.light=skip"])
    assert list(find_unused(unused, ["tv"], {})) == [("light.max_light", "gates.light is skip")]


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("light.max_lihgt=3", "did you mean 'max_light'"),
        ("light.max_light=high", "light.max_light: expected a number"),
        ("gates.light=never", "'never' is not one of 'decide', 'measure', 'skip'"),
        ("sources.tv.light.every=3", "runs only where the recipe names it for all sources too"),
        ("dark.max_light=3", "No installed package adds a stage of this name"),
    ],
)
def test_faults_of_its_settings_are_told_as_those_of_ours(site: Path, setting: str, fault: str) -> None:
    install(site, "light", STAGE_TEXT)
    with pytest.raises(UserError) as refused:
        load_recipe(None, [setting])
    assert fault in str(refused.value)
    assert setting in str(refused.value)


def test_pictures_have_no_stages_of_packages(site: Path) -> None:
    install(site, "light", STAGE_TEXT)
    with pytest.raises(UserError, match="measures clips, and the recipe is one of pictures"):
        load_recipe(Path("pictures"), ["light.every=2"])


def test_the_schema_of_recipes_has_the_stages_that_are_installed(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "light", STAGE_TEXT)
    install(site, "broken", "import no_such_package")
    validator = Draft202012Validator(recipe_schema())
    assert validator.is_valid({"light": {"every": 2}, "gates": {"light": "measure", "undecided": {"light": "reject"}}})
    assert not validator.is_valid({"light": {"evvery": 2}})
    assert not validator.is_valid({"gates": {"light": "never"}})
    described = recipe_schema()["properties"]["light"]["properties"]["max_light"]
    assert described["description"] == "grey levels of the brightest frame"
    assert main(["recipe", "check", "--set", "light.every=2"]) == 0
    assert main(["recipe", "schema"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name="light"', 'name="dark"', "it calls itself 'dark'"),
        ("STAGE = Stage(", "STAGE = dict(", "its entry point is dict, not a Stage"),
        ("frozen=True, kw_only=True", "kw_only=True", "is no frozen dataclass"),
        (": int = 1", ": int", "setting every has no default"),
        ("measure=measure, ", "", "measure is no function"),
        ('thresholds=("max_light",)', 'thresholds=("most",)', "threshold 'most' is no setting that is a number"),
        ('{"bright": Reason', '{"Too Bright": Reason', "reason 'Too Bright' needs a name in lower case"),
        ('about="How light it is."', 'about=" "', "about says nothing"),
        ("from dataclasses", "import no_such_package\nfrom dataclasses", "install no_such_package, which it needs"),
        ("from dataclasses", "raise BaseException('a panic')\nfrom dataclasses", "(a panic)"),
        ('thresholds=("max_light",)', 'thresholds=("max_light")', "are no tuple of names"),
        ('thresholds=("max_light",)', "thresholds=(['max_light'],)", "is no setting that is a number"),
        ('thresholds=("max_light",)', 'thresholds=("max_light",), gates=None', "gates must be"),
        ("reasons={", "reasons=[] and {", "are no table of names and Reasons"),
        ('score="grey levels"', "score=None", "sentence and score must each be a text of one line"),
        ('"The face is too bright."', r'"\x1b[2J"', "sentence and score must each be a text of one line"),
        ('about="How light it is."', r'about="How\nlight"', "about says nothing, or is no text of one line"),
        (": int = 1", ": set = frozenset()", "its default settings: every: expected"),
        (": int = 1", ': "NoSuchType" = 1', "its default settings: name 'NoSuchType'"),
        (": float = 300.0", ": float = float('nan')", "its default settings: max_light: nan"),
        (": int = 1", ": int = 1\n    def __post_init__(self): 1 / 0", "its default settings: division by zero"),
    ],
)
def test_a_stage_that_cannot_be_used_names_its_package(site: Path, old: str, new: str, fault: str) -> None:
    text = STAGE_TEXT.replace("NAME", "light")
    assert old in text
    install(site, "light", text.replace(old, new))
    with pytest.raises(UserError, match=r"the package plugin-light 1\.5 adds this stage and cannot be used") as refused:
        load_stage("light")
    assert fault in str(refused.value)


def test_an_error_of_an_import_is_told_in_few_words(site: Path) -> None:
    install(site, "light", r"raise RuntimeError('\x1b[2J' + 'x' * 100_000)")
    with pytest.raises(UserError) as refused:
        load_stage("light")
    assert r"(\x1b[2Jxxx" in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_what_a_package_prints_as_it_is_imported_is_in_no_answer(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "light", f"print('a greeting')\n{STAGE_TEXT}")
    assert main(["recipe", "schema"]) == 0
    answer = capsys.readouterr()
    assert json.loads(answer.out)["properties"]["light"]
    assert "a greeting" in answer.err


@pytest.mark.parametrize(
    "name", ["sync", "gates", "sources", "takedown", "Light", "li ght", "l" * 41, "_light", "../x"]
)
def test_names_that_a_stage_cannot_have_are_refused_before_an_import(site: Path, name: str) -> None:
    install(site, name, "raise AssertionError('imported')", project="plugin-light")
    with pytest.raises(UserError, match=r"plugin-light 1\.5") as refused:
        load_stage(name)
    assert "imported" not in str(refused.value)


def test_a_package_cannot_replace_one_of_our_stages(site: Path) -> None:
    before = load_recipe().defaults
    install(site, "sync", STAGE_TEXT)
    assert load_recipe().defaults == before


def test_two_packages_with_one_stage_are_both_named(site: Path) -> None:
    for project in ("first", "second"):
        install(site, "light", STAGE_TEXT, project=project)
    with pytest.raises(UserError, match=r"first 1\.5 and second 1\.5 each add a stage of this name"):
        load_recipe(None, ["light.every=2"])


def test_the_fingerprint_has_the_version_and_the_code_of_the_package(site: Path) -> None:
    file = install(site, "light", STAGE_TEXT)

    def identity() -> tuple[str, dict[str, str]]:
        now = run_identity(load_recipe(None, ["light.every=2"]), EMBEDDED, ["s"])
        assert now.backends["light"].startswith("plugin-light ")
        return now.fingerprint, now.versions

    first, versions = identity()
    assert versions["plugin-light"] == "1.5"
    set_version(site, "plugin-light", "1.6")
    second, _ = identity()
    file.write_text(file.read_text() + "\n# another digest\n")
    forget_packages()
    third, changed = identity()
    assert len({first, second, third}) == 3
    assert changed["plugin_light/*"] != versions["plugin_light/*"]


def test_a_finished_run_is_read_without_the_package(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = install(site, "light", STAGE_TEXT)
    words = ["light.every=2", "gates.undecided.light=reject", "sources.tv.gates.light=measure", "sync.min_confidence=4"]
    identity = run_identity(load_recipe(None, words), EMBEDDED, ["tv"])
    assert stages_of_run(identity) == STAGES
    assert reasons_with(STAGES)["light/bright"].sentence == "The face is too bright."
    file.unlink()
    next(site.glob("*.dist-info/entry_points.txt")).unlink()
    forget_packages()
    recipe = read_run_recipe(identity)
    assert recipe.defaults.sync.min_confidence == 4.0
    assert "plugin-light 1.5 is not installed" in caplog.text
    assert stages_of_run(identity) == STAGES
    assert "light/bright" not in reasons_with(STAGES)


def test_help_and_a_recipe_without_added_stages_look_for_no_packages() -> None:
    program = (
        "import sys, importlib.metadata as m\n"
        "m.entry_points = lambda **k: sys.exit('looked for packages')\n"
        "from avf_curation.cli.main import build_parser\n"
        "build_parser().format_help()\n"
        "from avf_curation.recipe import load_recipe\n"
        "load_recipe(None, ['sources.tv.sync.min_confidence=4'])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
