"""What installed packages add is listed without an import, and every fault of loading it names the package."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.clip_key import check_source_name
from avf_shards.system.installed_packages import code_digest, find_addition, list_additions, load_addition
from support.plugin_packages import install, installed_packages

GROUP = "avf_foundry.things"


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def load(name: str) -> object:
    addition = find_addition(GROUP, name, name, "thing")
    assert addition is not None
    return load_addition(addition, name, "thing", check_source_name)


def test_a_package_is_listed_without_an_import_and_loaded_by_name(site: Path) -> None:
    install(site, "gadget", "VALUE = 3", GROUP, entry="VALUE")
    ((addition,),) = list_additions(GROUP).values()
    assert (addition.name, addition.package) == ("gadget", "plugin-gadget 1.5")
    assert "plugin_gadget" not in sys.modules
    assert load("gadget") == 3
    assert find_addition(GROUP, "other", "other", "thing") is None


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("gadget", "import no_such_package", "install no_such_package, which it needs"),
        ("gadget", "raise SystemExit(3)", "cannot be used"),
        ("gadget", "1 / 0", "division by zero"),
        ("gadget", "OTHER = 1", "has no attribute 'VALUE'"),
        ("../gadget", "raise AssertionError('imported')", "lower-case letters"),
    ],
)
def test_what_cannot_be_loaded_names_the_package_and_the_fix(site: Path, name: str, text: str, fault: str) -> None:
    install(site, name, text, GROUP, project="plugin-gadget", entry="VALUE")
    with pytest.raises(UserError, match=r"plugin-gadget 1\.5") as refused:
        load(name)
    assert fault in str(refused.value)
    assert "imported" not in str(refused.value)


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    for project in ("first", "second"):
        install(site, "gadget", "VALUE = 3", GROUP, project=project, entry="VALUE")
    with pytest.raises(UserError, match=r"first 1\.5 and second 1\.5 each add a thing"):
        find_addition(GROUP, "gadget", "gadget", "thing")


def test_the_digest_is_of_all_files_of_the_package_and_of_no_other(site: Path) -> None:
    file = install(site, "gadget", "VALUE = 3", GROUP, entry="VALUE")
    addition = find_addition(GROUP, "gadget", "gadget", "thing")
    assert addition is not None
    before = code_digest(addition)
    (site / "another.py").write_text("OTHER = 1")
    assert code_digest(addition) == before
    file.write_text("VALUE = 4")
    assert code_digest(addition) != before
