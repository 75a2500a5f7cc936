"""Drawn faces whose brows, lids, cheeks, mouth corners and lips show the twelve action units of the ABAW challenges."""

import math
from collections.abc import Mapping

import cv2
import numpy as np

from avf_curation.demo.face_renderer import (
    Colour,
    Pen,
    Pose,
    Speaker,
    draw_head,
    draw_nose,
    redden,
    scale_colour,
)
from avf_curation.demo.performance import UNIT_THRESHOLD, FaceState
from avf_curation.media.types import Bytes

_EYE_Y, _MOUTH_Y = -0.07, 0.27
_LIP_STEPS = np.linspace(-1, 1, 13)
Point = tuple[float, float]


def draw_expressive(canvas_HWC: Bytes, person: Speaker, pose: Pose, face: FaceState) -> None:
    """Draw head and shoulders onto `canvas_HWC`, in place; of the pose, `mouth` and `smile` are not used."""
    pen, units = Pen(canvas_HWC, pose), face.units
    draw_head(pen, person)
    for side in (-1, 1):
        pen.ellipse(side * person.width * 0.5, 0.0, 0.035, 0.08, scale_colour(person.skin, 0.82))
        _draw_cheek(pen, person, side, units["AU6"])
        _draw_eye(pen, person, side, pose.eyes, units)
        _draw_brow(pen, person, side, units)
    _draw_furrow(pen, person, units["AU4"])
    draw_nose(pen, person)
    _draw_folds(pen, person, units["AU10"])
    if person.beard:
        pen.ellipse(0, 0.33 + 0.03 * face.mouth, person.width * 0.36, 0.17, scale_colour(person.hair, 1.2))
    _draw_lips(pen, canvas_HWC, person, pose, face)


def _draw_cheek(pen: Pen, person: Speaker, side: int, raised: float) -> None:
    pen.ellipse(side * person.width * 0.28, 0.12, 0.08, 0.07, scale_colour(person.skin, 0.95))
    if raised > 0.05:
        pen.ellipse(side * 0.25, 0.12 - 0.05 * raised, 0.085, 0.02 + 0.045 * raised, redden(person.skin))


def _draw_eye(pen: Pen, person: Speaker, side: int, eyes: float, units: Mapping[str, float]) -> None:
    """Draw an eye. A raised cheek lifts its lower lid, tightened lids narrow it, and raised brows leave it wide."""
    x = side * person.eyes_apart
    pen.ellipse(x, _EYE_Y, 0.095, 0.06, scale_colour(person.skin, 0.82))
    narrow = 1 - 0.65 * units["AU7"]
    pen.ellipse(x, _EYE_Y, 0.075, 0.008 + 0.032 * eyes * narrow, (245, 245, 245))
    if eyes > 0.4:
        pen.ellipse(x, _EYE_Y, 0.03, 0.03 * narrow, (50, 35, 25))
        pen.ellipse(x + 0.01, _EYE_Y - 0.01, 0.009, 0.009 * narrow, (255, 255, 255))
    lid = max(units["AU7"], 0.7 * units["AU6"])
    if lid > 0.05:
        pen.ellipse(x, _EYE_Y + 0.05, 0.08, 0.012 + 0.016 * lid, scale_colour(person.skin, 0.9))
    if person.glasses:
        pen.ring(x, _EYE_Y, 0.11, 0.085, (30, 30, 30))


def _draw_brow(pen: Pen, person: Speaker, side: int, units: Mapping[str, float]) -> None:
    """Draw an eyebrow: AU1 raises its inner end, AU2 its outer end, AU4 lowers it and pulls it inwards."""
    low = units["AU4"]
    inner = -0.165 - 0.075 * units["AU1"] + 0.045 * low
    outer = -0.16 - 0.075 * units["AU2"] + 0.005 * low
    for step in range(11):
        share = step / 10  # 0: at the inner end
        x = person.eyes_apart + (share - 0.5) * 0.19 - 0.03 * low * (1 - share)
        arch = -0.012 * math.sin(math.pi * share)
        y = inner + (outer - inner) * share + arch
        pen.ellipse(side * x, y, 0.026, person.brow * (1 + 0.3 * low) * (1 - 0.3 * share), person.hair)


def _draw_furrow(pen: Pen, person: Speaker, knit: float) -> None:
    if knit > 0.05:
        for side in (-1, 1):
            pen.ellipse(side * 0.028, -0.15, 0.007, 0.02 + 0.03 * knit, scale_colour(person.skin, 1 - 0.4 * knit))


def _draw_folds(pen: Pen, person: Speaker, raised: float) -> None:
    """Draw the folds from the nose to the mouth, and the wrinkles of the nose, of a raised upper lip."""
    if raised > 0.05:
        dark = scale_colour(person.skin, 1 - 0.45 * raised)
        for side in (-1, 1):
            pen.ellipse(side * 0.125, 0.18, 0.01, 0.07, dark, lean=-side * 35)
            pen.ellipse(side * 0.03, 0.015, 0.03, 0.007, dark, lean=side * 25)


def _draw_lips(pen: Pen, canvas_HWC: Bytes, person: Speaker, pose: Pose, face: FaceState) -> None:
    """Draw the mouth: AU12 pulls its corners up and out, AU15 down; AU10 lifts the upper lip; AU23 and AU24 thin it."""
    units = face.units
    wide = 0.135 + 0.05 * units["AU12"] - 0.05 * units["AU23"] - 0.02 * face.mouth
    bend = 0.075 * units["AU12"] - 0.07 * units["AU15"]
    gap = 0.13 * face.mouth
    thick = 0.03 * (1 - 0.6 * units["AU23"]) * (1 - 0.85 * units["AU24"])
    lift = 0.05 * units["AU10"]
    arc = 1 - _LIP_STEPS**2  # 0 at the corners, 1 in the middle
    corners = _MOUTH_Y + 0.3 * bend - bend * _LIP_STEPS**2 * 1.3
    outline = _close(wide, corners - (thick + lift) * arc - 0.004, corners + (gap + thick) * arc + 0.004)
    _fill(canvas_HWC, pose, outline, person.lips)
    if gap > 0.004 or units["AU10"] > UNIT_THRESHOLD:
        inside = _close(0.85 * wide, corners - 0.6 * lift * arc, corners + (gap + 0.2 * lift) * arc + 0.003)
        _fill(canvas_HWC, pose, inside, (35, 20, 45))
        if face.mouth > 0.3 or units["AU10"] > UNIT_THRESHOLD:
            top = corners - 0.6 * lift * arc
            teeth = _close(0.6 * wide, top, top + (0.3 * gap + 0.4 * lift) * arc)
            _fill(canvas_HWC, pose, teeth, (235, 235, 235))
    else:
        line = scale_colour(person.lips, 0.5)
        for step, y in zip(_LIP_STEPS, corners, strict=True):
            pen.ellipse(step * wide * 0.9, y, 0.014, 0.005, line)
    if units["AU24"] > 0.05:
        for y in (_MOUTH_Y - 0.035, _MOUTH_Y + 0.045 + gap):
            pen.ellipse(0, y, 0.09, 0.012, scale_colour(person.skin, 1 - 0.25 * units["AU24"]))


def _close(wide: float, upper: np.ndarray, lower: np.ndarray) -> list[Point]:
    """Return the outline between two lines that go from corner to corner."""
    x = (_LIP_STEPS * wide).tolist()
    return [*zip(x, upper.tolist(), strict=True), *reversed(list(zip(x, lower.tolist(), strict=True)))]


def _fill(canvas_HWC: Bytes, pose: Pose, outline: list[Point], colour: Colour) -> None:
    angle, scale = math.radians(pose.roll), 1 << 4
    cos, sin = math.cos(angle), math.sin(angle)
    pixels = [
        (pose.height * (cos * x - sin * y) + pose.x, pose.height * (sin * x + cos * y) + pose.y) for x, y in outline
    ]
    corners = np.rint(np.asarray(pixels) * scale).astype(np.int32)
    cv2.fillPoly(canvas_HWC, [corners], colour, cv2.LINE_AA, 4)
