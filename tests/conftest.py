"""Fixtures that all tests share; tests marked `real` skip where the folder with real media is missing."""

import functools
import os
from pathlib import Path

import dlib
import pytest
from avf_curation.detectors.threads import limit_threads
from support.browser import BROWSER
from support.demo_files import DemoFiles

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure() -> None:
    """Limit the threads, and load dlib's face detector once: each run of the tests' hundreds took half a second for it.

    The detector has no settings and keeps nothing of a picture. Processes that tests start load their own.
    """
    limit_threads()
    dlib.get_frontal_face_detector = functools.cache(dlib.get_frontal_face_detector)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `browser` where no browser is installed; fail the test if AVF_NEED_BROWSER is set."""
    if BROWSER is None and item.get_closest_marker("browser"):
        if "AVF_NEED_BROWSER" in os.environ:
            pytest.fail("no Chromium here, and AVF_NEED_BROWSER asks for one")
        pytest.skip("no Chromium here; Debian's package chromium has it")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Return the folder with the authors' numbers that the project ships."""
    return Path(__file__).parent / "data/oracles"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with real media and all reference outputs."""
    if not (SHARED / "assets").is_dir():
        pytest.skip(
            "the real media (../shared/assets) are not here: what is missed is the check on real speakers' clips"
        )
    return SHARED


@pytest.fixture(scope="session")
def real_weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a weights folder with RetinaFace MobileNet-0.25."""
    from avf_curation.detectors.weights import pull_weights

    folder = tmp_path_factory.mktemp("weights")
    pull_weights("retinaface_mobilenet", folder, shared / "assets/weights/retinaface_mobilenet0.25_Final.pth")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    """Return the files of the demo corpus, which all test processes share."""
    base = tmp_path_factory.getbasetemp()
    shared_base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return DemoFiles(shared_base / "demo-files")
