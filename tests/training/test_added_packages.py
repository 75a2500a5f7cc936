"""Data sets and extractors of installed packages are taken as ours, and what is wrong with them is named."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_shards.errors import FaultError, UserError
from avf_training.cli.main import main
from avf_training.cli.options import dataset_names
from avf_training.framewise.tracks.extractor_names import check_extractor, check_weights
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.tasks.catalog import find_dataset
from support.plugin_packages import install, install_template, installed_packages, set_version

FOOTAGE: Any = SimpleNamespace(frames=3, fps=25.0, wave=lambda: np.zeros(1920, np.float32))
DATASET = 'from avf_training.tasks.catalog import Dataset\nDATASET = Dataset(name="moods", labels=("calm", "glad"))\n'
EXTRACTOR = """
import numpy as np
from types import SimpleNamespace
from avf_training.framewise.tracks.extractor_definition import Extractor
from avf_training.framewise.tracks.extractor import FrameVectors
from avf_training.framewise.tracks.identity import ExtractorIdentity
EXTRACTOR = Extractor(name="level", about="sound", reads="sound", load="plugin_level:load", has_weights=False)
def extract(footage):
    return FrameVectors(rows_R=np.arange(3), vectors_RD=np.ones((3, 2)))
def load(name, weights, device):
    identity = ExtractorIdentity.from_settings(name, {}, "0" * 64)
    return SimpleNamespace(identity=identity, picture_input=None, extract=extract)
"""


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def install_dataset(site: Path, old: str = "", new: str = "") -> None:
    install(site, "moods", DATASET.replace(old, new) if old else DATASET, "avf_foundry.datasets", entry="DATASET")


def install_extractor(site: Path, old: str = "", new: str = "") -> None:
    assert old in EXTRACTOR
    text = EXTRACTOR.replace(old, new) if old else EXTRACTOR
    install(site, "level", text, "avf_foundry.extractors", entry="EXTRACTOR")


def test_a_data_set_of_a_package_is_listed_completed_and_found(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install_dataset(site)
    install(site, "broken", "import no_such_package", "avf_foundry.datasets", entry="DATASET")
    assert find_dataset("moods").labels == ("calm", "glad")
    assert {"moods", "iemocap"} <= set(dataset_names())
    assert main(["datasets"]) == 0
    listed = capsys.readouterr()
    assert "moods" in listed.out
    assert "install no_such_package, which it needs" in listed.err
    with pytest.raises(UserError, match="did you mean 'moods'"):
        find_dataset("mods")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name="moods"', 'name="other"', "it calls itself 'other'"),
        ("DATASET = Dataset", "DATASET = dict", "its entry point is dict, not a Dataset"),
        ('labels=("calm", "glad")', "labels=()", "must have either labels or dimensions"),
    ],
)
def test_a_data_set_that_cannot_be_used_names_its_package(site: Path, old: str, new: str, fault: str) -> None:
    install_dataset(site, old, new)
    with pytest.raises(UserError, match=r"plugin-moods 1\.5") as refused:
        find_dataset("moods")
    assert fault in str(refused.value)


def test_our_data_sets_and_extractors_stay_ours(site: Path) -> None:
    before = find_dataset("iemocap")
    install(site, "iemocap", DATASET, "avf_foundry.datasets", entry="DATASET")
    install(site, "log_mel", EXTRACTOR, "avf_foundry.extractors", entry="EXTRACTOR")
    assert find_dataset("iemocap") is before
    assert "package" not in load_extractor("log_mel", None).identity.settings


def test_an_extractor_of_a_package_has_its_version_and_code_in_its_identity(site: Path) -> None:
    install_extractor(site)
    check_extractor("level", sound=True)
    first = load_extractor("level", None)
    assert first.extract(FOOTAGE).vectors_RD.dtype == np.float32
    assert "plugin-level 1.5" in first.identity.settings
    set_version(site, "plugin-level", "1.6")
    assert load_extractor("level", None).identity.digest != first.identity.digest
    with pytest.raises(UserError, match="does not work with --pictures"):
        check_extractor("level", pictures=True)
    with pytest.raises(UserError, match="level has no weights"):
        check_weights("level", given=True)
    with pytest.raises(UserError, match=r"no such extractor; .*log_mel, level"):
        check_extractor("leval")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("EXTRACTOR = Extractor(", "EXTRACTOR = dict(", "its entry point is dict, not an Extractor"),
        ('name="level"', 'name="other"', "it calls itself 'other'"),
        ('reads="sound"', 'reads="smells"', "reads 'smells' is not pictures, sound or clips"),
        ('load="plugin_level:load"', 'load="os.system"', "load 'os.system' is not MODULE:FUNCTION"),
        ('load="plugin_level:load"', 'load="plugin_level:fetch"', "cannot load it"),
        ("    identity = ", "    import no_such_package\n    identity = ", "cannot load it (ModuleNotFoundError"),
        ("from_settings(name", 'from_settings("x"', "gives it the identity"),
        ("picture_input=None", "picture_input=3", "asks for pictures by 3"),
    ],
)
def test_an_extractor_that_cannot_be_used_names_its_package(site: Path, old: str, new: str, fault: str) -> None:
    install_extractor(site, old, new)
    with pytest.raises(UserError, match=r"plugin-level 1\.5") as refused:
        load_extractor("level", None)
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("return FrameVectors(rows_R=np.arange(4), vectors_RD=np.ones((4, 2)))", "rows are not rising frames"),
        ("return FrameVectors(rows_R=np.arange(3), vectors_RD=np.ones((2, 2)))", "do not fit"),
        ("return FrameVectors(rows_R=np.arange(3), vectors_RD=np.full((3, 2), np.nan))", "not finite"),
        ("return np.ones((3, 2))", "returns no FrameVectors"),
        ("return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_vectors_that_are_none_fail_the_track_with_the_name_of_the_package(site: Path, new: str, fault: str) -> None:
    install_extractor(site, "return FrameVectors(rows_R=np.arange(3), vectors_RD=np.ones((3, 2)))", new)
    with pytest.raises(FaultError, match=r"^plugin-level 1\.5: ") as failed:
        load_extractor("level", None).extract(FOOTAGE)
    assert fault in str(failed.value)


def test_the_template_adds_a_data_set_and_an_extractor(site: Path) -> None:
    install_template(site)
    assert find_dataset("interviews_mood").label_field == "mood"
    assert load_extractor("loudness", None).extract(FOOTAGE).vectors_RD.tolist() == [[-100.0]] * 3
