"""The weights that come with the program are those whose scores the thresholds hold for, and their owners are named."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.detectors import shipped_weights
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.shipped_weights import BLAZEFACE, FACE_MESH, SILERO, SYNC_HEAD, ShippedWeights
from avf_shards.errors import UserError
from support.curation_runs import make_recipe

SHIPPED = Path(shipped_weights.__file__).with_name("shipped")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation whose weight files are missing."""
    monkeypatch.setattr(shipped_weights, "_FOLDER", tmp_path)
    shipped_weights._check_file.cache_clear()
    yield tmp_path
    shipped_weights._check_file.cache_clear()


@pytest.mark.parametrize("weights", [BLAZEFACE, FACE_MESH, SILERO, SYNC_HEAD], ids=lambda weights: weights.file_name)
def test_each_file_is_there_and_its_owner_is_named(weights: ShippedWeights) -> None:
    assert weights.check() == SHIPPED / weights.file_name
    assert weights.file_name in (SHIPPED / "README.md").read_text()
    assert weights.file_name in (Path(__file__).parents[3] / "NOTICE").read_text()


def test_no_file_lies_there_that_nothing_reads() -> None:
    read = {weights.file_name for weights in (BLAZEFACE, FACE_MESH, SILERO, SYNC_HEAD)}
    assert {path.name for path in SHIPPED.iterdir()} == read | {"README.md"}


@pytest.mark.parametrize(
    ("weights", "settings"),
    [
        (BLAZEFACE, ["faces.backend=auto"]),
        (BLAZEFACE, ["faces.backend=blazeface"]),
        (SILERO, ["faces.backend=dlib", "silence.speech_backend=auto"]),
        (FACE_MESH, ["faces.backend=dlib", "silence.speech_backend=none", "sync.backend=auto"]),
        (FACE_MESH, ["faces.backend=dlib", "silence.speech_backend=none", "sync.backend=learned"]),
    ],
)
def test_a_run_with_a_missing_or_other_file_is_refused_at_its_start(
    folder: Path, weights: ShippedWeights, settings: list[str]
) -> None:
    with pytest.raises(UserError, match=rf"{weights.file_name}: is not there.*install avf-foundry again"):
        resolve_backends(make_recipe(*settings), folder)
    (folder / weights.file_name).write_bytes(b"other weights")
    with pytest.raises(UserError, match=rf"{weights.file_name}: has SHA-256 .*install avf-foundry again"):
        resolve_backends(make_recipe(*settings), folder)


def test_an_own_network_replaces_the_shipped_one_alone(folder: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        replace(SYNC_HEAD).check()
    dlib_alone = ("faces.backend=dlib", "silence.speech_backend=none", "sync.backend=envelope")
    assert resolve_backends(make_recipe(*dlib_alone), folder).weights == {}
