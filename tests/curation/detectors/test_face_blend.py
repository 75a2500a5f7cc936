"""A dissolve, a wipe or a fade between two faces is told from one face that moves."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors.face_blend import Blend, find_blend
from avf_curation.media.types import Bytes
from avf_curation.stages.tracking import CropWindow
from support.curation_runs import make_recipe

MAX_BLEND = make_recipe().defaults.track.max_blend


def draw_face(person: int, n: int, turn: float = 0.0) -> Bytes:
    draw = np.random.default_rng(person)
    skin = draw.integers(70, 200, (14, 14)).astype(np.uint8)
    image = cv2.resize(skin, (256, 256), interpolation=cv2.INTER_CUBIC)
    eyes, mouth = 90 + 25 * person, 165 + 12 * person
    for x in (95, 160):
        cv2.circle(image, (x, eyes), 10 + 3 * person, 30, -1)
    cv2.ellipse(image, (128, mouth), (30, round(9 + 6 * np.sin(n / 1.7))), 0, 0, 360, 40, -1)
    motion = cv2.getRotationMatrix2D((128, 128), 25 * turn, 1.0)
    motion[0, 2] += 30 * turn
    image = cv2.warpAffine(image, motion, (256, 256), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def film(transition: str) -> list[Bytes]:
    """Return three seconds; from frame 30 to 45 the first person gives way to the second."""
    frames = []
    for n in range(75):
        share = float(np.clip((n - 30) / 15, 0, 1))
        first, second = draw_face(1, n), draw_face(2, n)
        if transition == "dissolve":
            frame = np.round(first * (1 - share) + second * share)
        elif transition == "wipe":
            edge = round(256 * share)
            frame = np.concatenate([second[:, :edge], first[:, edge:]], 1)
        elif transition == "fade through black":
            frame = np.round(first * max(0.0, 1 - 2 * share) + second * max(0.0, 2 * share - 1))
        elif transition == "exposure":
            frame = np.round(first * (1 - 0.5 * share))
        else:
            frame = draw_face(1, n, turn=float(np.sin(n / 8)) if transition == "turning head" else 0.0)
        frames.append(frame.astype(np.uint8))
    return frames


def locate_blend(frames: list[Bytes]) -> Blend:
    window = CropWindow(side_px=250.0, centres_T2=np.full((len(frames), 2), 128.0))
    return find_blend(frames, 1.0, window, min_share=MAX_BLEND)


def measure_blend(frames: list[Bytes]) -> float:
    return locate_blend(frames).share


@pytest.mark.parametrize("transition", ["dissolve", "wipe", "fade through black"])
def test_a_transition_between_two_faces_is_a_blend(transition: str) -> None:
    blend = locate_blend(film(transition))
    assert blend.share > MAX_BLEND
    # From frame 30 to 45, and half a second more on either side at most.
    assert 18 <= blend.span.start_frame <= 31
    assert 45 <= blend.span.stop_frame <= 57


@pytest.mark.parametrize("motion", ["talking", "turning head", "exposure"])
def test_one_face_is_no_blend_however_it_moves(motion: str) -> None:
    assert measure_blend(film(motion)) < MAX_BLEND - 0.02


def test_a_short_span_has_no_blend() -> None:
    assert measure_blend(film("dissolve")[:20]) == 0


def trembling(frames: int) -> CropWindow:
    """Return a window whose centre trembles as dlib's does, by 0.05 of its side."""
    centres_T2 = 128 + 6.0 * np.random.default_rng(5).choice([-1, 1], (frames, 2))
    return CropWindow(side_px=250.0, centres_T2=centres_T2)


@pytest.mark.parametrize("stop", [43, 75])
def test_a_window_that_trembles_neither_hides_a_dissolve_nor_moves_its_ends(stop: int) -> None:
    """The film ends 30 frames behind its dissolve, or when 13 of the dissolve's 15 frames have passed."""
    frames = film("dissolve")[:stop]
    blend = find_blend(frames, 1.0, trembling(stop), min_share=MAX_BLEND)
    assert blend.share > MAX_BLEND + 0.02
    assert 25 <= blend.span.start_frame <= 31
    assert min(45, stop) <= blend.span.stop_frame <= min(50, stop)


@pytest.mark.parametrize("motion", ["talking", "turning head", "exposure"])
def test_one_face_in_a_window_that_trembles_is_no_blend(motion: str) -> None:
    assert find_blend(film(motion), 1.0, trembling(75), min_share=MAX_BLEND).share < MAX_BLEND - 0.02
