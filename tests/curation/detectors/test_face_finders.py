"""The faces stage searches with the detector that the recipe names, else with the track's, or dlib and BlazeFace."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from avf_curation.detectors import yunet
from avf_curation.detectors.blazeface import BlazeFaceFinder
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.detectors.face_finders import join_faces
from avf_curation.detectors.shipped_weights import BLAZEFACE
from avf_curation.media import crop
from avf_curation.recipe import load_recipe
from avf_curation.runs.identity import run_identity
from avf_curation.stages.faces import Box
from avf_curation.stages.quality import SHARPNESS_PX
from avf_shards.errors import UserError
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.faces


def box(left: float, side: float = 100.0) -> Box:
    return Box(left=left, top=0.0, right=left + side, bottom=side)


def resolve(folder: Path, *settings: str) -> BackendSelection:
    return resolve_backends(load_recipe(None, list(settings)), folder)


def test_a_face_that_both_detectors_see_is_one_face() -> None:
    first, beside, moved = box(0), box(300), box(20)
    assert join_faces([first], [moved, beside]) == [first, beside]
    assert join_faces([], [moved]) == [moved]
    assert join_faces([first], []) == [first]


def test_each_backend_is_chosen_by_its_name_and_has_its_weights_in_the_fingerprint(tmp_path: Path) -> None:
    default = resolve(tmp_path)
    assert default.names()["faces"] == "dlib+blazeface"
    assert default.weight_digests()["blazeface"] == BLAZEFACE.sha256[:16]
    alone = resolve(tmp_path, "faces.backend=dlib")
    assert alone.names()["faces"] == "dlib"
    assert "blazeface" not in alone.weight_digests()
    assert resolve(tmp_path, "faces.backend=blazeface").names()["faces"] == "blazeface"
    pictures = load_recipe(None, [], content="pictures")
    assert resolve_backends(pictures, tmp_path).names() == {"faces": "dlib"}
    fingerprints = {run_identity(make_recipe(), choice, ["s"]).fingerprint for choice in (default, alone)}
    assert len(fingerprints) == 2
    with pytest.raises(UserError, match=r"faces\.backend: yunet needs .*\n.*weights pull yunet"):
        resolve(tmp_path, "faces.backend=yunet")
    with pytest.raises(UserError, match=r"faces\.backend: retinaface needs"):
        resolve(tmp_path, "faces.backend=retinaface")


def test_yunet_gets_the_settings_and_its_rows_become_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    points = [30, 40, 70, 40, 50, 60, 34, 80, 66, 84]
    network = SimpleNamespace(
        setScoreThreshold=lambda value: seen.update(score=value),
        setNMSThreshold=lambda value: seen.update(nms=value),
        setInputSize=lambda size: seen.update(size=size),
        detect=lambda image: (1, np.array([[10, 20, 80, 90, *points, 0.9]], np.float32) if image.any() else None),
    )
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_, **__: network)
    (tmp_path / "yunet.onnx").write_bytes(b"stands for the network")
    finder = yunet.YuNetFinder(tmp_path / "yunet.onnx")
    lit, dark = np.full((120, 160, 3), 9, np.uint8), np.zeros((120, 160, 3), np.uint8)
    (face,), none = finder.find([lit, dark], 0.5, replace(CONFIG, min_probability=0.7, nms_iou=0.25))
    assert seen == {"score": 0.7, "nms": 0.25, "size": (160, 120)}
    assert (face.left, face.top, face.right, face.bottom) == (20, 40, 180, 220)
    assert face.mouth == (100, 164)
    assert none == []


def test_a_file_that_is_no_yunet_is_named(tmp_path: Path) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"yunet\.onnx: is no YuNet"):
        yunet.YuNetFinder(tmp_path / "yunet.onnx")


def test_blazeface_finds_nothing_in_a_plain_picture_of_any_shape() -> None:
    finder = BlazeFaceFinder()
    for shape in ((360, 640), (640, 40), (8, 8)):
        assert finder.find([np.full((*shape, 3), 128, np.uint8)], 1.0, CONFIG) == [[]]


@pytest.mark.real
def test_blazeface_finds_a_face_where_dlib_does_whatever_the_shape_of_the_picture(shared: Path) -> None:
    picture = cv2.imread(str(shared / "assets/image/obama_one_face.jpg"))
    small = np.asarray(cv2.resize(picture, (512, 640)))
    wide = cv2.copyMakeBorder(small, 0, 0, 0, 512, cv2.BORDER_CONSTANT)
    detectors = Detectors(BackendSelection(track="dlib", sync="envelope", weights={}))
    ((by_dlib,),) = detectors.face_finder.find([np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))], 1.0, CONFIG)
    for image in (small, wide):
        ((face,),) = BlazeFaceFinder().find([image], 1.0, CONFIG)
        assert face.iou(by_dlib) > 0.6
        assert face.mouth is not None
        assert face.top + face.height / 2 < face.mouth[1] < face.bottom


@pytest.mark.real
def test_dlib_and_blazeface_together_count_a_crowd_and_turned_faces(shared: Path, tmp_path: Path) -> None:
    detectors = Detectors(resolve(tmp_path))

    def count(name: str, degrees: float = 0.0) -> int:
        picture = cv2.imread(str(shared / f"assets/image/{name}.jpg"))
        scale = 640 / max(picture.shape)
        small = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        height, width = small.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = np.asarray(cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REFLECT))
        return len(detectors.face_finder.find([turned], 1.0, CONFIG)[0])

    counts = {name: count(name) for name in ("pyfeat_multi_face", "dlib_dogs_no_human_face", "dlib_bald_guys_collage")}
    assert counts == {"pyfeat_multi_face": 5, "dlib_dogs_no_human_face": 0, "dlib_bald_guys_collage": 24}
    assert count("pyfeat_single_face", 45) == 1


@pytest.mark.real
def test_where_the_track_has_retinaface_the_faces_stage_has_it_too(real_weights: Path) -> None:
    assert resolve(real_weights).names()["faces"] == "retinaface-mobilenet"
    by_dlib = resolve(real_weights, "track.backend=dlib")
    assert by_dlib.names()["faces"] == "dlib+blazeface"
    faces_alone = resolve(real_weights, "track.backend=dlib", "faces.backend=retinaface")
    assert (faces_alone.names()["faces"], faces_alone.names()["track"]) == ("retinaface-mobilenet", "dlib")
    finder = Detectors(faces_alone).face_finder
    assert finder.find([np.zeros((64, 64, 3), np.uint8)] * 2, 1.0, CONFIG) == [[], []]


@pytest.mark.real
@pytest.mark.parametrize("name", ["obama_one_face", "pyfeat_single_face"])
def test_sharpness_is_on_one_scale_whatever_the_detector(shared: Path, real_weights: Path, name: str) -> None:
    """A blurred face is told by each, and no sharp one. On the trackers' own crops it was 1.8 times as much by one."""
    picture = np.asarray(cv2.imread(str(shared / f"assets/image/{name}.jpg")), np.uint8)
    limit = make_recipe().defaults.quality.min_sharpness
    values = []
    for setting in ("dlib", "blazeface", "retinaface"):
        finder = Detectors(resolve(real_weights, "track.backend=dlib", f"faces.backend={setting}")).face_finder
        image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)) if finder.pixel_format == "gray" else picture
        ((face,),) = finder.find([image], 1.0, CONFIG)
        x, y, side = face.square
        blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), side / 24), np.uint8)
        sharp, soft = (
            crop.sharpness(crop.to_grey(crop.crop_square(source, (x, y), side, SHARPNESS_PX)))
            for source in (picture, blurred)
        )
        assert soft < limit < sharp
        values.append(sharp)
    assert max(values) < 1.5 * min(values)
