"""RetinaFace and SyncNet with real weights agree with published counts and the numbers of the authors."""

import importlib.util
import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from avf_curation.detectors import retinaface, retinaface_network
from avf_curation.detectors.mfcc import compute_mfcc
from avf_curation.detectors.retinaface import RetinaFaceDetector, decode_boxes, prior_boxes
from avf_curation.detectors.retinaface_network import own_resnet50, package_resnet50
from avf_curation.detectors.syncnet import SyncNet, SyncNetScorer, formula_weights
from avf_curation.detectors.weight_files import load_weights

COUNTS = {
    "ternaus_13_three_faces": 3,
    "ternaus_no_face": 0,
    "obama_one_face": 1,
    "two_people": 2,
    "pyfeat_single_face": 1,
    "pyfeat_multi_face": 5,
    "dlib_2008_002506_three_faces": 3,
    "dlib_2007_007763_seven_faces": 7,
    "dlib_bald_guys_collage": 24,
    "dlib_dogs_no_human_face": 0,
    "grass_no_face": 0,
}


@pytest.mark.real
def test_mobilenet_counts_faces_as_published(shared: Path) -> None:
    weights = load_weights(shared / "assets/weights/retinaface_mobilenet0.25_Final.pth")
    detector = RetinaFaceDetector("mobilenet", weights)
    counts = {}
    for name in COUNTS:
        picture = cv2.imread(str(shared / f"assets/image/{name}.jpg"))
        scale = 640 / max(picture.shape)
        small = cv2.resize(picture, None, fx=scale, fy=scale)
        (faces,) = detector.detect([small], 0.6, 0.4)
        counts[name] = len(faces.scores_N)
    assert counts == COUNTS


@pytest.mark.real
def test_the_batch_size_does_not_change_detections(shared: Path) -> None:
    weights = load_weights(shared / "assets/weights/retinaface_mobilenet0.25_Final.pth")
    detector = RetinaFaceDetector("mobilenet", weights)
    picture = cv2.resize(cv2.imread(str(shared / "assets/image/two_people.jpg")), (320, 200))
    pictures = [picture, picture[:, ::-1].copy(), picture]
    first, flipped, third = detector.detect(pictures, 0.6, 0.4)
    np.testing.assert_allclose(first.boxes_N4, third.boxes_N4)
    np.testing.assert_allclose(detector.detect([picture], 0.6, 0.4)[0].boxes_N4, first.boxes_N4, atol=0.01)
    assert len(flipped.scores_N) == 2


def test_priors_and_box_decoding_agree_with_the_package() -> None:
    from retinaface.box_utils import decode as theirs
    from retinaface.box_utils import decode_landm
    from retinaface.prior_box import priorbox

    height, width = 96, 160
    ours = prior_boxes(height, width)
    published = priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], False, (height, width))
    size = torch.tensor([width, height, width, height])
    torch.testing.assert_close(ours, published * size)
    deltas, points = torch.randn(len(ours), 4), torch.randn(len(ours), 10)
    boxes, landmarks = decode_boxes(deltas, points, ours)
    torch.testing.assert_close(boxes, theirs(deltas, published, [0.1, 0.2]) * size, rtol=1e-4, atol=1e-3)
    expected = decode_landm(points, published, [0.1, 0.2]) * size.repeat(3)[:10]
    torch.testing.assert_close(landmarks.reshape(-1, 10), expected, rtol=1e-4, atol=1e-3)


def test_our_resnet_loads_the_weights_of_the_package_and_answers_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = package_resnet50().state_dict()
    picture = np.random.default_rng(0).integers(0, 256, (70, 120, 3), np.uint8)
    answers = []
    for network in (package_resnet50, own_resnet50):
        monkeypatch.setattr(retinaface, "resnet50", network)
        detector = RetinaFaceDetector("resnet50", state)
        answers.append(detector.detect([picture, picture[::-1].copy()], 0.5, 0.4))
    assert all(len(image.scores_N) > 5 for image in answers[0])
    for theirs, ours in zip(*answers, strict=True):
        np.testing.assert_array_equal(ours.boxes_N4, theirs.boxes_N4)
        np.testing.assert_array_equal(ours.scores_N, theirs.scores_N)
        np.testing.assert_array_equal(ours.landmarks_N52, theirs.landmarks_N52)


def test_without_the_package_our_resnet_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retinaface", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert type(retinaface_network.resnet50()) is type(own_resnet50())


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "oracles/syncnet_formula_weights.npz", allow_pickle=False))


@pytest.fixture(scope="module")
def example(shared: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with av.open(str(shared / "assets/video/syncnet_example.avi")) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    with av.open(str(shared / "assets/video/syncnet_example.avi")) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return frames, sound


@pytest.mark.real
def test_syncnet_has_the_tensor_names_of_the_authors(oracle: dict[str, np.ndarray]) -> None:
    shapes = {key: list(value.shape) for key, value in SyncNet().state_dict().items()}
    assert shapes == json.loads(str(oracle["shapes"]))
    assert sorted(shapes) == sorted(oracle["keys"])


@pytest.mark.real
def test_mfcc_agrees_with_the_authors_code(
    oracle: dict[str, np.ndarray], example: tuple[list[np.ndarray], np.ndarray]
) -> None:
    np.testing.assert_allclose(compute_mfcc(example[1]), oracle["mfcc"], atol=1e-9)


@pytest.mark.real
@pytest.mark.slow
def test_syncnet_matches_the_authors_numbers(
    oracle: dict[str, np.ndarray], example: tuple[list[np.ndarray], np.ndarray]
) -> None:
    frames, sound = example
    np.testing.assert_array_equal(np.stack(frames[:6]), oracle["frames_first6_bgr"])
    scorer = SyncNetScorer(formula_weights())
    starts = np.arange(0, int(oracle["n_windows"]), 8)
    for ours, theirs in (
        (scorer.lips(frames, starts).numpy(), oracle["lip"]),
        (scorer.sounds(sound, int(oracle["n_windows"]))[::8].numpy(), oracle["aud"]),
    ):
        assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-3
    score = scorer.score(frames, sound, authors_code=True)
    np.testing.assert_allclose(score.distances_S, oracle["mdist"], rtol=1e-3)
    assert score.offset == int(oracle["offset"])
    assert score.confidence == pytest.approx(float(oracle["confidence"]), abs=1e-2)
    assert score.windows == int(oracle["n_windows"])


def test_padding_is_masked_except_in_the_authors_mode() -> None:
    from avf_curation.detectors.syncnet import mean_distances

    lip, sound = torch.ones(10, 4), torch.ones(10, 4)
    starts = torch.arange(10)
    masked = mean_distances(lip, sound, starts, 3, authors_code=False)
    authors_code = mean_distances(lip, sound, starts, 3, authors_code=True)
    assert masked.max() < 1e-4, "every real pair is alike"
    assert authors_code[0] > 0.5, "pairs with padding are not"
    assert authors_code[3] == masked[3]
