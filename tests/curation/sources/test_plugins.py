"""Corpora that installed packages add."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.sources import crema_d
from avf_curation.sources.pictures.registry import picture_reader
from avf_curation.sources.plugins import make_corpus_reader
from avf_curation.sources.registry import corpus_reader, list_inputs, load_recipe_for
from avf_shards.errors import UserError
from support import plugin_packages
from support.plugin_packages import installed_packages

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "docs/plugin-template"


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def install(site: Path, name: str, text: str) -> None:
    """Write a package of one module, with the entry point `name`."""
    plugin_packages.install(site, name, text, "avf_foundry.sources", entry="")


def source_text(name: str, body: str = "    return iter(())") -> str:
    return (
        f"NAME = {name!r}\nABOUT = 'Of a package.'\nLAYOUT = 'x.mp4'\nLABELLED = False\nOWNERS_COUNT = None\n"
        f"def list_videos(listing):\n{body}\n"
    )


def test_the_template_is_a_package_whose_own_tests_pass(tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
        cwd=TEMPLATE, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site], check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    shutil.copytree(TEMPLATE / "tests", tmp_path / "tests")
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tmp_path / "tests"]
    done = subprocess.run(tests, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    list_sources = [sys.executable, "-m", "avf_curation.cli.main", "sources", "ls"]
    listed = subprocess.run(list_sources, env=environment, capture_output=True, text=True)
    assert "(avf-interviews 0.1.0)" in listed.stdout


def test_a_corpus_of_a_package_is_read_and_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "talks", source_text("talks"))
    reader = corpus_reader("talks")
    assert reader is not None
    assert reader.package == "plugin-talks 1.5"
    assert main(["sources", "ls"]) == 0
    assert "talks             x.mp4 (plugin-talks 1.5)" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean talks"):
        corpus_reader("talks_2")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("raise ImportError('no libfoo')", "no libfoo"),
        ("NAME = 'talks'", "has no ABOUT"),
        (source_text("talks").replace("LABELLED = False", "LABELLED = 'no'"), "LABELLED is 'no', not True or False"),
        (source_text("other"), "its module calls itself 'other'"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_and_no_plain_folder_read_instead(
    site: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    install(site, "talks", text)
    assert main(["sources", "check", f"talks={site}"]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert "plugin-talks 1.5" in error
    assert main(["sources", "ls"]) == 0
    listed = capsys.readouterr()
    assert fault in listed.err
    assert "talks  " not in listed.out


def test_what_a_package_yields_is_looked_at(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "talks", source_text("talks", "    yield {'path': 'x.mp4'}"))
    install(site, "chats", source_text("chats", "    yield 1 / 0"))
    for name, fault in (("talks", "not a Video whose source is 'talks'"), ("chats", "ZeroDivisionError")):
        assert main(["sources", "check", f"{name}={tmp_path}"]) == 2
        error = capsys.readouterr().err
        assert fault in error
        assert f"plugin-{name} 1.5" in error


def test_two_packages_with_one_corpus_are_both_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for project in ("first", "second"):
        plugin_packages.install(site, "talks", source_text("talks"), "avf_foundry.sources", project=project, entry="")
    assert main(["sources", "check", f"talks={site}"]) == 2
    assert "first 1.5 and second 1.5 each add a corpus of this name" in capsys.readouterr().err


def test_our_names_stay_ours(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "crema_d", source_text("crema_d"))
    reader = corpus_reader("crema_d")
    assert reader is not None
    assert reader.package is None
    assert reader == make_corpus_reader(crema_d)
    assert main(["sources", "ls"]) == 0
    assert "which one of ours has" in capsys.readouterr().err


PICTURES = (
    "from avf_curation.sources.pictures.types import Picture\n"
    "NAME = 'faces_of_us'\nABOUT = 'Of a package.'\nLAYOUT = 'anna/x.png'\nLABELLED = False\nOWNERS_COUNT = None\n"
    "def list_pictures(listing):\n"
    "    for file in listing.list_entries('', r'.*\\.png', 'picture'):\n"
    "        yield Picture(picture_id=file.stem, **file.stat_fields, identity='anna')\n"
)


def install_pictures(site: Path, text: str = PICTURES, name: str = "faces_of_us") -> None:
    plugin_packages.install(site, name, text, "avf_foundry.picture_sources", entry="")


def test_a_corpus_of_pictures_of_a_package_is_listed_counted_and_planned(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_pictures(site)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one.png").write_bytes(b"x")
    assert main(["sources", "ls"]) == 0
    assert "faces_of_us       anna/x.png (plugin-faces_of_us 1.5)" in capsys.readouterr().out
    assert main(["sources", "check", f"faces_of_us={tmp_path}/in", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["pictures"] == 1
    assert load_recipe_for(["faces_of_us"], None, []).content == "pictures"
    (video,) = list_inputs("faces_of_us", tmp_path / "in", load_recipe().defaults.plan, [], content="pictures")
    assert (video.video_id, video.speaker) == ("one", "anna")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (PICTURES.replace("list_pictures", "list_videos"), "has no function list_pictures"),
        (PICTURES.replace("yield Picture(", "yield dict("), "and not a Picture"),
        (PICTURES.replace("yield Picture(", "yield 1 / 0 or Picture("), "ZeroDivisionError"),
    ],
)
def test_pictures_of_a_package_that_cannot_be_used_are_refused(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    install_pictures(site, text)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one.png").write_bytes(b"x")
    assert main(["sources", "check", f"faces_of_us={tmp_path}/in"]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert "1.5" in error


def test_pictures_do_not_take_the_name_of_a_corpus_of_videos(site: Path) -> None:
    install_pictures(site, PICTURES.replace("faces_of_us", "crema_d"), "crema_d")
    assert picture_reader("crema_d") is None
    install_pictures(site, PICTURES.replace("faces_of_us", "talks"), "talks")
    plugin_packages.install(site, "talks", source_text("talks"), "avf_foundry.sources", project="other", entry="")
    with pytest.raises(UserError, match="a corpus of videos and one of pictures of this name"):
        corpus_reader("talks")
