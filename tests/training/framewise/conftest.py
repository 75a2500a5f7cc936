"""Fixtures of the frame-level side's tests."""

from pathlib import Path

import pytest
from support.frame_ensembles import VIDEOS
from support.frame_predictions import write_labels, write_model
from support.labelled import make_label_rows, make_labelled_shards


@pytest.fixture(scope="session")
def abaw6(shared: Path) -> Path:
    """Folder of the numbers that the authors' code of both ABAW-6 systems computed."""
    folder = shared / "oracles/abaw6"
    if not folder.is_dir():
        pytest.skip("the numbers of the ABAW-6 systems (../shared/oracles/abaw6) are not here")
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of 64 frames, each of a video of its own."""
    folder = tmp_path_factory.mktemp("extraction")
    make_labelled_shards(folder, {"lab": make_label_rows(2, 1)})
    return folder / "shards"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Labels and three models of six videos for each task; the third model is noise for the most part."""
    for task in ("va", "expr", "au"):
        for video in VIDEOS:
            write_labels(tmp_path / "L", task, video, group=video.partition("_")[0])
        for name, noise in (("a", 0.3), ("b", 0.35), ("c", 1.5)):
            write_model(tmp_path / "P", f"{name}_{task}", task, VIDEOS, noise=noise)
    return tmp_path
