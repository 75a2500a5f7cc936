"""Fixtures that all tests share; tests marked `real` skip where the folder with real media is missing."""

import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlib
import pytest
from avf_curation.detectors.threads import limit_threads
from hypothesis import settings
from support.browser import BROWSER, SHARED_BROWSER
from support.demo_files import DemoFiles
from support.store_server import StoreServer, client_of, serve_store

TESTS = Path(__file__).parent
SHARED = Path(__file__).parents[2] / "shared"

#: Files whose tests take half a minute and more together, the longest first.
LONGEST_FILES = (
    "promises/test_snippets.py",
    "promises/test_object_stores.py",
    "promises/test_demo.py",
    "promises/test_elastic_resume.py",
    "promises/test_fault_injection.py",
    "training/inference/test_api.py",
    "training/finetuning/test_finetune.py",
    "promises/test_real_input.py",
    "promises/test_docs_site.py",
    "promises/test_bad_input.py",
    "promises/test_ray.py",
    "training/distributed/test_parallelize.py",
    "training/study/test_study.py",
    "shards/deletion/test_two_writers.py",
    "curation/detectors/test_terminal.py",
)


def pytest_configure() -> None:
    """Limit the threads, and take out of this process what costs time and shows nothing; processes it starts have it.

    dlib's face detector is loaded once: each run of the tests' hundreds took half a second for it. The detector has no
    settings and keeps nothing of a picture. `os.fsync` waits for no disk: only a power cut, which no test makes, would
    show the difference. Examples of property tests have no deadline: on a busy machine one of 9 ms takes 370.
    """
    limit_threads()
    settings.register_profile("without deadline", deadline=None)
    settings.load_profile("without deadline")
    dlib.get_frontal_face_detector = functools.cache(dlib.get_frontal_face_detector)
    os.fsync = check_handle


def check_handle(file: Any) -> None:
    """Stand for `os.fsync`: raise OSError for a handle that is not open."""
    os.fstat(file if isinstance(file, int) else file.fileno())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `LONGEST_FILES` first, so that no process works on one of them when the others are done."""
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After each file, end the browser and return freed memory to the system.

    A fork costs as much as the process holds, and networks and batches leave gigabytes that glibc keeps for itself.
    """
    yield
    if nextitem is None or nextitem.path != item.path:
        SHARED_BROWSER.close()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # None: not glibc
        if trim is not None:
            trim(0)


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


@pytest.fixture(scope="module")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """Yield an S3 server of this machine, with the bucket `bucket`."""
    pytest.importorskip("s3fs")
    with serve_store(tmp_path_factory.mktemp("store"), "bucket") as running:
        yield running


@pytest.fixture
def store_client(store_server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process and its children use the server, with mirrors of their own."""
    yield from client_of(store_server, tmp_path / "mirrors", monkeypatch)
