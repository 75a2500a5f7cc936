"""A face that is upside down or lies on its side is told as such, and no upright one is."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.detectors.turned_faces import measure_turned_share
from avf_curation.media.types import Bytes
from avf_curation.pipeline.outcomes import SpanOutcome
from avf_curation.pipeline.video import screen_video
from avf_curation.recipe import load_recipe
from avf_curation.stages.faces import Box
from support.curation_runs import make_source_video

RECIPE = load_recipe()
PICTURES = ("obama_one_face", "pyfeat_single_face", "pyfeat_multi_face", "two_people", "ternaus_13_three_faces")
FACELESS = ("dlib_dogs_no_human_face", "grass_no_face", "ternaus_no_face")


@pytest.fixture(scope="module")
def dlib() -> DlibFaceDetector:
    return DlibFaceDetector()


def read(shared: Path, name: str) -> Bytes:
    picture = cv2.imread(str(shared / f"assets/image/{name}.jpg"))
    scale = 640 / max(picture.shape)
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.real
@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("name", ["obama_one_face", "pyfeat_single_face"])
def test_a_face_that_is_turned_by_quarters_is_told(shared: Path, dlib: DlibFaceDetector, name: str, turns: int) -> None:
    turned = np.ascontiguousarray(np.rot90(read(shared, name), turns))
    assert measure_turned_share([turned] * 5, [[]] * 5, 1.0, dlib) == 1
    grey = np.asarray(cv2.cvtColor(turned, cv2.COLOR_BGR2GRAY), np.uint8)
    assert measure_turned_share([grey] * 5, [[]] * 5, 1.0, dlib) == 1


@pytest.mark.real
@pytest.mark.parametrize("name", [*PICTURES, *FACELESS])
def test_upright_faces_and_pictures_without_any_are_not_told(shared: Path, dlib: DlibFaceDetector, name: str) -> None:
    assert measure_turned_share([read(shared, name)] * 5, [[]] * 5, 1.0, dlib) == 0


def test_the_share_is_of_all_frames_and_a_surely_upright_face_settles_it(
    dlib: DlibFaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this test the grey level of the upper left pixel is dlib's score, in hundredths."""
    asked = []

    def detect(grey_HW: Bytes, *_: object) -> list[Box]:
        asked.append(grey_HW)
        return [Box(left=0, top=0, right=9, bottom=9, score=grey_HW[0, 0] / 100)] if grey_HW[0, 0] else []

    monkeypatch.setattr(dlib, "detect", detect)
    turned, upright = np.zeros((2, 8, 8), np.uint8)
    turned[-1, -1], upright[0, 0], upright[-1, -1] = 90, 50, 40
    assert measure_turned_share([turned, upright, turned, turned, upright], [[]] * 5, 1.0, dlib) == 0.6
    assert measure_turned_share([turned, upright, upright, turned, turned], [[]] * 5, 1.0, dlib) == 0
    asked.clear()
    sure = Box(left=0, top=0, right=100, bottom=100, score=0.9)
    seen_by_network = Box(left=0, top=0, right=100, bottom=100, score=0.999, mouth=(52.0, 75.0))
    for box in (sure, seen_by_network):
        assert measure_turned_share([turned] * 5, [[], [box], [], [], []], 1.0, dlib) == 0
    assert not asked
    beside = Box(left=0, top=0, right=100, bottom=100, score=0.999, mouth=(25.0, 75.0))
    assert measure_turned_share([turned] * 5, [[beside]] * 5, 1.0, dlib) == 1
    assert measure_turned_share([], [], 1.0, dlib) == 0


@pytest.fixture(scope="module")
def turned_films(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a talker of GRID turned by 0, 90, 180 and 270 degrees, without metadata that says so."""
    folder = tmp_path_factory.mktemp("turned")
    with av.open(str(shared / "assets/video/grid_lrwp9a.mpg")) as source:
        frames = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
    for turns in range(4):
        with av.open(str(folder / f"{turns}.mp4"), "w") as out:
            write_film(out, [np.ascontiguousarray(np.rot90(frame, turns)) for frame in frames])
    return folder


def write_film(out: av.container.OutputContainer, frames: list[Bytes]) -> None:
    """Write pictures, and a tone beside them."""
    picture, sound = out.add_stream("libx264", rate=25, options={"crf": "16"}), out.add_stream("aac", rate=16000)
    picture.height, picture.width, picture.pix_fmt = *frames[0].shape[:2], "yuv420p"
    for frame in frames:
        out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
    out.mux(picture.encode(None))
    tone = np.sin(np.arange(len(frames) * 640) / 4).astype(np.float32)[None]
    for start in range(0, tone.shape[1], 1024):
        block = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="fltp", layout="mono")
        block.sample_rate, block.pts = 16000, start
        out.mux(sound.encode(block))
    out.mux(sound.encode(None))


@pytest.fixture(scope="module", params=["dlib and BlazeFace", "RetinaFace"])
def detectors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    """Return the detectors of a run without weights, and of one with RetinaFace's."""
    folder = (
        tmp_path_factory.mktemp("none") if request.param != "RetinaFace" else request.getfixturevalue("real_weights")
    )
    return Detectors(resolve_backends(RECIPE, folder))


@pytest.mark.real
@pytest.mark.parametrize(("turns", "reasons"), [(0, set()), (1, {"turned"}), (2, {"turned"}), (3, {"turned"})])
def test_a_video_that_is_turned_without_saying_so_is_rejected_as_such(
    turned_films: Path, detectors: Detectors, turns: int, reasons: set[str]
) -> None:
    name = f"{turns}.mp4"
    stat = (turned_films / name).stat()
    video = replace(make_source_video(name, size=stat.st_size), mtime_ns=stat.st_mtime_ns)
    parts = screen_video(video, turned_films, RECIPE.defaults, detectors).parts
    checks = [(part.candidate if isinstance(part, SpanOutcome) else part).checks for part in parts]
    assert {check.reason for own in checks for check in own if check.stage == "faces"} >= {"turned"}
    failed = [check for own in checks for check in own if check.stage == "faces" and check.passed is False]
    assert {check.reason for check in failed[:1]} == reasons
