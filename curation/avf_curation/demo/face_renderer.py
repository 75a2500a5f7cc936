"""Drawn faces that dlib and RetinaFace detect, with a mouth whose opening is a number from 0 to 1."""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from avf_curation.media.types import Bytes

Colour = tuple[int, int, int]
_FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates for drawing


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Appearance and voice of a person. Colours are BGR, sizes are shares of the face's height."""

    skin: Colour  # of the face
    hair: Colour  # also of brows and beard
    lips: Colour  # also of the line that a smile bends, darkened
    shirt: Colour  # of the shoulders
    width: float  # of the face
    eyes_apart: float  # from the middle of the face to an eye
    brow: float  # thickness of the eyebrows
    hair_length: float  # above 0.3 the hair falls behind the face
    glasses: bool  # whether the person wears glasses
    beard: bool  # whether the chin has a beard
    pitch_hz: float  # of the voice


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Position and expression of a face in one frame."""

    x: float  # centre of the face, pixels from the left edge
    y: float  # centre of the face, pixels from the top edge
    height: float  # of the face in pixels
    roll: float = 0.0  # degrees
    mouth: float = 0.0  # 0 (shut) to 1
    eyes: float = 1.0  # 0 (shut) to 1
    smile: float = 0.0  # 1 lifts mouth corners, cheeks and brows; -1 lowers the corners and knits the brows


@cache  # a shot asks for its speaker at every frame
def make_speaker(seed: int) -> Speaker:
    """Return the person with this number: the same number is always the same person."""
    draw = np.random.default_rng([seed, 77])
    tone = draw.uniform(0.35, 1.0)
    skin = (int(120 + 75 * tone), int(140 + 75 * tone), int(175 + 70 * tone))
    dark = draw.integers(15, 95)
    hair = (int(dark * draw.uniform(0.4, 0.9)), int(dark * draw.uniform(0.6, 1.1)), int(dark * draw.uniform(0.9, 1.6)))
    b, g, r = (int(v) for v in draw.integers(40, 210, 3))
    female = bool(seed % 2)
    return Speaker(
        skin=skin,
        hair=hair,
        lips=(int(skin[0] * 0.55), int(skin[1] * 0.5), int(min(255, skin[2] * 0.85))),
        shirt=(b, g, r),
        width=float(draw.uniform(0.68, 0.8)),
        eyes_apart=float(draw.uniform(0.2, 0.24)),
        brow=float(draw.uniform(0.018, 0.032)),
        hair_length=float(draw.uniform(0.5, 0.75)) if female else 0.1,
        glasses=bool(draw.uniform() < 0.25),
        beard=not female and bool(draw.uniform() < 0.4),
        pitch_hz=float(draw.uniform(180, 230) if female else draw.uniform(95, 140)),
    )


def draw_speaker(canvas_HWC: Bytes, person: Speaker, pose: Pose) -> None:
    """Draw head and shoulders onto `canvas_HWC`, in place."""
    h, w = pose.height, pose.height * person.width
    pen = Pen(canvas_HWC, pose)
    shade = scale_colour(person.skin, 0.82)
    draw_head(pen, person)
    for side in (-1, 1):
        pen.ellipse(side * w / h * 0.5, 0.0, 0.035, 0.08, shade)
        pen.ellipse(side * w / h * 0.28, 0.12, 0.08, 0.07, scale_colour(person.skin, 0.95))
        x = side * person.eyes_apart
        pen.ellipse(x, -0.07, 0.095, 0.06, shade)
        pen.ellipse(x, -0.07, 0.075, 0.008 + 0.03 * pose.eyes, (245, 245, 245))
        if pose.eyes > 0.4:
            pen.ellipse(x, -0.07, 0.03, 0.03, (50, 35, 25))
            pen.ellipse(x + 0.01, -0.08, 0.009, 0.009, (255, 255, 255))
        _draw_brow(pen, person, side, pose.smile)
        if person.glasses:
            pen.ring(x, -0.07, 0.11, 0.085, (30, 30, 30))
    draw_nose(pen, person)
    if person.beard:
        pen.ellipse(0, 0.33, w / h * 0.36, 0.17, scale_colour(person.hair, 1.2))
    if pose.smile:
        _draw_corners(pen, person, pose.smile)
    _draw_mouth(pen, person, pose.mouth)


def draw_head(pen: "Pen", person: Speaker) -> None:
    """Draw shoulders, neck, hair and skin."""
    pen.ellipse(0, 1.12, 1.0, 0.55, person.shirt)
    pen.ellipse(0, 0.5, 0.17, 0.25, scale_colour(person.skin, 0.82))
    width = person.width
    if person.hair_length > 0.3:
        pen.ellipse(0, 0.1, width * 0.62, 0.5 + person.hair_length * 0.3, person.hair)
    pen.ellipse(0, -0.12, width * 0.56, 0.46, person.hair)
    pen.ellipse(0, 0, width * 0.5, 0.5, person.skin)
    pen.ellipse(0, -0.4, width * 0.4, 0.13, person.hair)


def draw_nose(pen: "Pen", person: Speaker) -> None:
    """Draw the nose and its nostrils."""
    pen.ellipse(0, 0.06, 0.035, 0.1, scale_colour(person.skin, 0.9))
    pen.ellipse(0, 0.14, 0.07, 0.03, scale_colour(person.skin, 0.78))
    for side in (-1, 1):
        pen.ellipse(side * 0.035, 0.15, 0.016, 0.01, scale_colour(person.skin, 0.4))


def _draw_brow(pen: "Pen", person: Speaker, side: int, smile: float) -> None:
    """Draw an eyebrow: knitted brows lean inwards and lie low, raised brows lie high."""
    lift = 0.05 * max(0.0, smile) - 0.03 * max(0.0, -smile)
    thick = person.brow * (1 + 0.5 * max(0.0, -smile))
    wide = 0.1 + 0.01 * abs(smile)
    pen.ellipse(side * person.eyes_apart, -0.16 - lift, wide, thick, person.hair, lean=side * 28 * min(0.0, smile))


def _draw_corners(pen: "Pen", person: Speaker, smile: float) -> None:
    """Draw the mouth's line, bent up or down, and the cheeks that a smile lifts."""
    dark = scale_colour(person.lips, 0.45)
    for step in range(-8, 9):
        x = step / 8
        pen.ellipse(x * 0.22, 0.29 - smile * (0.14 * x**2 - 0.03), 0.034, 0.026, dark)
    if smile > 0:
        for side in (-1, 1):
            pen.ellipse(side * 0.25, 0.1, 0.075, 0.05, redden(person.skin))


def _draw_mouth(pen: "Pen", person: Speaker, mouth: float) -> None:
    gap = 0.075 * mouth
    wide = 0.14 - 0.02 * mouth
    pen.ellipse(0, 0.27 + gap / 2, wide, 0.026 + gap, person.lips)
    if mouth > 0.04:
        pen.ellipse(0, 0.27 + gap / 2, wide * 0.82, gap, (35, 20, 45))
        if mouth > 0.35:
            pen.ellipse(0, 0.27 - gap * 0.25, wide * 0.6, gap * 0.28, (235, 235, 235))
    else:
        pen.ellipse(0, 0.27, wide * 0.85, 0.004, scale_colour(person.lips, 0.5))


def redden(colour: Colour) -> Colour:
    """Return the skin's colour of a raised cheek."""
    b, g, r = colour
    return int(b * 0.78), int(g * 0.72), min(255, int(r * 1.08))


def scale_colour(colour: Colour, factor: float) -> Colour:
    """Return a lighter (above 1) or darker colour."""
    b, g, r = (int(min(255, v * factor)) for v in colour)
    return b, g, r


class Pen:
    """Draws in face coordinates: the unit is the face's height, the origin its centre, the axes roll with the face."""

    def __init__(self, canvas_HWC: Bytes, pose: Pose) -> None:
        self._canvas, self._pose = canvas_HWC, pose
        angle = math.radians(pose.roll)
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def ellipse(self, x: float, y: float, half_w: float, half_h: float, colour: Colour, *, lean: float = 0.0) -> None:
        """Draw a filled ellipse; `lean` is its angle in degrees against the face."""
        self._draw((x, y), (half_w, half_h), colour, thickness=-1, lean=lean)

    def ring(self, x: float, y: float, half_w: float, half_h: float, colour: Colour) -> None:
        self._draw((x, y), (half_w, half_h), colour, thickness=max(1, round(0.012 * self._pose.height)))

    def _draw(
        self,
        centre: tuple[float, float],
        half_size: tuple[float, float],
        colour: Colour,
        *,
        thickness: int,
        lean: float = 0.0,
    ) -> None:
        pose = self._pose
        x, y = centre
        right_px = pose.height * (self._cos * x - self._sin * y) + pose.x
        down_px = pose.height * (self._sin * x + self._cos * y) + pose.y
        scale = 1 << _FRACTION_BITS
        pixel = (round(right_px * scale), round(down_px * scale))
        axes = (max(1, round(half_size[0] * pose.height * scale)), max(1, round(half_size[1] * pose.height * scale)))
        cv2.ellipse(self._canvas, pixel, axes, pose.roll + lean, 0, 360, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)
