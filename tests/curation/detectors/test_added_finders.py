"""A face detector of a package is a back-end of faces and track, and what is wrong with it is told by its name."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from avf_curation.audit.recipe_view import recipe_schema
from avf_curation.detectors.added_finders import CheckedFinder, find_face_backend
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.pipeline.failures import OtherWeightsError, classify_failure
from avf_curation.pipeline.self_test import check_tools, load_detectors
from avf_curation.recipe import Recipe, load_recipe
from avf_curation.runs.identity import run_identity
from avf_curation.stages.definition import PackageFaultError
from avf_curation.stages.faces import Box
from avf_shards.errors import UserError
from jsonschema import Draft202012Validator
from support.plugin_packages import install, installed_packages, set_version

FINDER = """
from avf_curation.detectors.added_finders import FaceBackend
from avf_curation.stages.faces import Box
def find(images, scale):
    return [[Box(left=0, top=0, right=image.shape[1] / scale, bottom=image.shape[0] / scale)] for image in images]
BACKEND = FaceBackend(name="middle", about="The picture.", pixel_format="gray", load=lambda: find)
"""
FIND = "[[Box(left=0, top=0, right=image.shape[1] / scale, bottom=image.shape[0] / scale)] for image in images]"
SETTINGS = ("faces.backend=middle", "track.backend=middle", "sync.backend=envelope", "silence.speech_backend=none")


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def install_finder(site: Path, old: str = "", new: str = "", name: str = "middle") -> Path:
    assert old in FINDER
    text = FINDER.replace(old, new) if old else FINDER
    return install(site, name, text, "avf_foundry.face_finders", project="plugin-middle", entry="BACKEND")


def resolve(tmp_path: Path, *settings: str) -> tuple[Recipe, BackendSelection]:
    recipe = load_recipe(None, [*SETTINGS, *settings])
    return recipe, resolve_backends(recipe, tmp_path / "weights")


def test_faces_and_track_search_with_it(site: Path, tmp_path: Path) -> None:
    install_finder(site)
    recipe, backends = resolve(tmp_path)
    assert (backends.names()["faces"], backends.names()["track"]) == ("middle", "middle")
    detectors = Detectors(pickle.loads(pickle.dumps(backends)))
    image_HWC = np.zeros((60, 80, 3), np.uint8)
    expected = [[Box(left=0, top=0, right=160, bottom=120)]]
    assert detectors.faces([image_HWC], 0.5, recipe.defaults.track) == expected
    assert detectors.face_finder.pixel_format == "gray"
    assert detectors.face_finder.find([image_HWC[:, :, 0]], 0.5, recipe.defaults.faces) == expected
    check_tools(detectors, recipe.defaults)
    assert pickle.loads(pickle.dumps(recipe)).defaults.faces.backend == "middle"


def test_the_fingerprint_has_its_version_and_code_and_a_worker_with_other_code_is_refused(
    site: Path, tmp_path: Path
) -> None:
    file = install_finder(site)
    recipe, backends = resolve(tmp_path)
    identity = run_identity(recipe, backends, ["s"])
    assert identity.versions["plugin-middle"] == "1.5"
    set_version(site, "plugin-middle", "1.6")
    assert run_identity(*resolve(tmp_path), ["s"]).fingerprint != identity.fingerprint
    file.write_text(file.read_text() + "\n# another digest\n")
    set_version(site, "plugin-middle", "1.5")
    with pytest.raises(OtherWeightsError, match=r"backend middle: plugin-middle 1\.5 has other files here"):
        load_detectors(backends, "cpu", identity.weights)


def test_without_the_package_the_name_is_none_and_ours_stay_ours(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'middle' is not one of 'auto', 'dlib'"):
        load_recipe(None, ["faces.backend=middle"])
    install_finder(site, name="dlib")
    assert resolve(tmp_path, "faces.backend=dlib", "track.backend=dlib")[1].added == ()
    install_finder(site, name="dlib_two")
    with pytest.raises(UserError, match="begins with the name of a back-end of ours"):
        find_face_backend("dlib_two")


def test_the_schema_has_it(site: Path) -> None:
    install_finder(site)
    validator = Draft202012Validator(recipe_schema())
    assert validator.is_valid({"faces": {"backend": "middle"}, "track": {"backend": "middle"}})
    assert not validator.is_valid({"faces": {"backend": "centre"}})


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("BACKEND = FaceBackend(", "BACKEND = dict(", "its entry point is dict, not a FaceBackend"),
        ('name="middle"', 'name="other"', "it calls itself 'other'"),
        ('pixel_format="gray"', 'pixel_format="rgb"', "pixel_format 'rgb' is unknown"),
        ("load=lambda: find", "load=3", "load is no function"),
        ("load=lambda: find", "load=lambda: 1 / 0", "cannot load it (ZeroDivisionError"),
    ],
)
def test_a_detector_that_cannot_be_used_names_its_package(site: Path, old: str, new: str, fault: str) -> None:
    install_finder(site, old, new)
    with pytest.raises(UserError, match=r"plugin-middle 1\.5") as refused:
        CheckedFinder("middle")
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("[]", "returns no list with the faces of each of 1 images"),
        ("[[1]]", "1 is no box of a face"),
        ("[[Box(left=float('nan'), top=0, right=1, bottom=1)]]", "is no box of a face"),
        ("[[Box(left=1, top=0, right=1, bottom=1)]]", "is no box of a face"),
        ("images[0].fill(1)", "read-only"),
    ],
)
def test_an_answer_that_is_none_fails_the_video_with_the_name_of_the_package(site: Path, new: str, fault: str) -> None:
    install_finder(site, FIND, new)
    with pytest.raises(PackageFaultError, match=r"^plugin-middle 1\.5: ") as failed:
        CheckedFinder("middle").find([np.zeros((60, 80), np.uint8)], 1.0, None)
    assert fault in str(failed.value)
    assert classify_failure("scenes", failed.value).error == "package_fault"
