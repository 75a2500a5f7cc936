"""A dissolve, a wipe or a fade of the picture is told from motion, from a change of exposure and from a cut."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors.dissolves import MAX_DELAY, Dissolve, DissolveDetector
from avf_curation.detectors.mixtures import explain_turn, shrink_picture
from avf_curation.media.types import Bytes
from support.curation_runs import make_recipe

MIN_SHARE = make_recipe().defaults.scenes.max_dissolve
FRAMES, START = 300, 80  # of the film, and the last frame that shows the first picture alone


def draw(person: int, n: int, shift_px: float = 0.0) -> Bytes:
    """Return a place (144, 256, 3) with a head that sways and a mouth that talks."""
    rng = np.random.default_rng(person)
    background = cv2.resize(
        rng.integers(0, 255, (9, 48, 3)).astype(np.uint8), (768, 144), interpolation=cv2.INTER_CUBIC
    )
    start = 100 + round(shift_px)
    picture = background[:, start : start + 256].copy()
    radius, x = 24 + 12 * person, round(128 + 6 * np.sin(n / 9))
    cv2.circle(picture, (x, 70), radius, (150, 170, 210), -1)
    cv2.ellipse(picture, (x, 70 + radius // 2), (8, round(4 + 3 * np.sin(n / 1.7))), 0, 0, 360, (30, 30, 60), -1)
    return picture


def mix(first: Bytes, second: Bytes, share: float) -> Bytes:
    return np.asarray(np.round(first * (1.0 - share) + second * share), np.uint8)


def film(change: str, frames: int = 20) -> list[Bytes]:
    """Return a film that changes from frame `START` on, within `frames` frames."""
    pictures = []
    for n in range(FRAMES):
        share = float(np.clip((n - START) / frames, 0, 1))
        first, second = draw(1, n), draw(2, n)
        wiped = first.copy()
        wiped[:, : round(share * 256)] = second[:, : round(share * 256)]
        pictures.append(
            {
                "dissolve": mix(first, second, share),
                "wipe": wiped,
                "fade to black": mix(first, np.zeros_like(first), share),
                "cut": second if share else first,
                "exposure": mix(first, np.full_like(first, 255), 0.4 * share),
                "pan": draw(1, n, 250 * share),
                "talking": first,
            }[change]
        )
    return pictures


def find_dissolves(pictures: list[Bytes | None]) -> list[Dissolve]:
    detector = DissolveDetector(MIN_SHARE)
    dissolves = []
    for index, picture in enumerate(pictures):
        for dissolve in detector.feed(picture):
            assert dissolve.span.stop_frame <= index + 1
            assert index - dissolve.span.start_frame <= MAX_DELAY
            dissolves.append(dissolve)
        assert detector.settled <= index
    return dissolves + detector.finish()


@pytest.mark.parametrize("change", ["dissolve", "fade to black"])
@pytest.mark.parametrize("frames", [5, 10, 20, 40, 62, 100])
def test_a_dissolve_is_found_with_its_ends(change: str, frames: int) -> None:
    (dissolve,) = find_dissolves([*film(change, frames)])
    assert dissolve.dissolve > MIN_SHARE
    assert START - 8 <= dissolve.span.start_frame <= START + 1 + frames // 20
    assert START + frames <= dissolve.span.stop_frame <= START + frames + 6 + frames // 20


@pytest.mark.parametrize("frames", [8, 25, 62])
def test_a_wipe_is_found_with_its_ends(frames: int) -> None:
    (wipe,) = find_dissolves([*film("wipe", frames)])
    assert START - 8 <= wipe.span.start_frame <= START + 1
    assert START + frames <= wipe.span.stop_frame <= START + frames + 8


@pytest.mark.parametrize("change", ["cut", "exposure", "pan", "talking"])
def test_what_else_changes_a_picture_is_no_dissolve(change: str) -> None:
    assert find_dissolves([*film(change)]) == []


def test_repeated_frames_change_nothing() -> None:
    """A source of 12.5 frames a second shows every picture twice."""
    pictures = [picture if n % 2 == 0 else None for n, picture in enumerate(film("dissolve"))]
    (dissolve,) = find_dissolves(pictures)
    assert START - 8 <= dissolve.span.start_frame <= START + 2
    assert START + 19 <= dissolve.span.stop_frame <= START + 28


def test_a_dissolve_at_the_end_of_a_film_is_told_at_its_end() -> None:
    (dissolve,) = find_dissolves([*film("dissolve")[: START + 16]])
    assert dissolve.span.stop_frame == START + 16


def test_a_mixture_is_told_from_a_pan() -> None:
    """A mixture of two pictures has weaker edges than either; a picture that moves has not."""
    pan = [shrink_picture(draw(1, n, 12 * n)) for n in range(26)]
    dissolve = [shrink_picture(mix(draw(1, n), draw(2, n), n / 25)) for n in range(26)]
    assert explain_turn(pan).share < 0.9
    assert explain_turn(dissolve).share > MIN_SHARE
    assert not explain_turn(dissolve).is_wipe
