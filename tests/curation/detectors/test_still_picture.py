"""A photograph that a camera moves over does not change; a mouth that moves does, under the same motion."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors import still_picture
from avf_curation.detectors.still_picture import is_still_picture
from avf_curation.media.types import Bytes
from support.curation_runs import make_recipe

STILL_LEVEL = make_recipe().defaults.quality.still_level


def portrait(mouth_px: int) -> Bytes:
    draw = np.random.default_rng(4)
    image = cv2.resize(draw.integers(60, 190, (12, 12)).astype(np.uint8), (320, 320), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(image, (160, 150), (80, 105), 0, 0, 360, 170, -1)
    for x in (130, 190):
        cv2.circle(image, (x, 125), 9, 50, -1)
    cv2.ellipse(image, (160, 205), (28, 4 + mouth_px), 0, 0, 360, 60, -1)
    return np.asarray(image, np.uint8)


def film(camera: str, talks: bool) -> Bytes:
    noise, frames = np.random.default_rng(0), []
    for n in range(75):
        scale, x, y = 1.0, 0.0, 0.0
        if camera == "zoom":
            scale = 1 + 0.002 * n
        elif camera == "hand":
            x, y = 6 * np.sin(n / 6), 5 * np.sin(n / 4)
        motion = np.array([[scale, 0, 160 * (1 - scale) + x], [0, scale, 160 * (1 - scale) + y]])
        image = portrait(round(6 + 6 * np.sin(n / 1.7)) if talks else 6)
        image = cv2.warpAffine(image, motion, (320, 320), borderMode=cv2.BORDER_REFLECT)[48:272, 48:272]
        frames.append(np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


@pytest.mark.parametrize("camera", ["still", "zoom", "hand"])
def test_a_photograph_does_not_change_however_the_camera_moves(camera: str) -> None:
    assert is_still_picture(film(camera, talks=False), STILL_LEVEL)


@pytest.mark.parametrize("camera", ["still", "zoom", "hand"])
def test_a_talking_mouth_changes_however_the_camera_moves(camera: str) -> None:
    assert not is_still_picture(film(camera, talks=True), 2 * STILL_LEVEL)


def test_a_span_of_one_image_cannot_tell() -> None:
    assert not is_still_picture(film("still", talks=False)[:3], 1000)


def test_padding_beyond_the_frame_does_not_move_with_the_camera() -> None:
    photograph = film("hand", talks=False)
    photograph[:, :26] = 0
    assert is_still_picture(photograph, STILL_LEVEL)


@pytest.mark.parametrize("images", [2, 3, 12, 15, 40])
def test_the_changes_that_are_not_looked_at_cannot_alter_the_answer(
    images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, answers = np.random.default_rng(images), set()
    for share in np.linspace(0.8, 1, 40):
        changes = np.where(
            draw.random(images - 1) < share, draw.uniform(0, 4, images - 1), draw.uniform(4, 9, images - 1)
        )
        remaining = iter(changes)
        monkeypatch.setattr(still_picture, "_change", lambda *_, remaining=remaining: next(remaining))
        is_still = is_still_picture(np.full((images * still_picture.STEP, 96, 96), 128, np.uint8), 4.0)
        assert is_still == (np.quantile(changes, 0.9) < 4.0)
        answers.add(is_still)
    assert answers == {True, False}
