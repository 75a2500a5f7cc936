"""Draws logos, text, subtitles and tickers over films, and patterns of a scene that must not be taken for them.

Sizes are shares of the picture's width or height. Shapes: T frames, H height, W width, C = 3 channels (BGR).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from avf_curation.media.types import Bytes
from PIL import Image, ImageDraw, ImageFont

MARKS = ("opaque logo", "semi-transparent logo", "text", "subtitles", "ticker")
SCENERY = (
    "window",
    "picture frame",
    "patterned wall",
    "glasses and hair",
    "letterbox",
    "blurred letterbox",
    "head only",
)
_LINES = (
    "What did you say to him?",
    "I never meant to come back here.",
    "They told us the train was late",
    "No one knows where the letter is",
    "And then she looked at the sea",
    "We could start again tomorrow",
)
_NEWS = "  Storm warning for the northern coast  +++  Markets close higher after a calm week  +++  Museum opens its doors  +++"
_NAMES = ("NEWS 24", "LIVE", "@studio_one", "TV8 HD", "WH.GOV", "Open Talk", "CANAL 5", "kids+")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Something to lay over a frame."""

    colours_HWC: Bytes
    alphas_HW: np.ndarray  # 0 to 1, how much of it covers the frame


def draw_mark(frames_THWC: Bytes, kind: str, seed: int, frames_per_s: float = 25.0) -> Bytes:
    """Return frames with a mark over them.

    Args:
        kind: one of MARKS.
        seed: of its place, size, colours and words.
    """
    draw = np.random.default_rng(seed)
    height, width = frames_THWC.shape[1:3]
    layer_at = _LAYERS[kind](draw, width, height)
    return np.stack([_cover_with(frame, layer_at(index / frames_per_s)) for index, frame in enumerate(frames_THWC)])


def draw_scenery(frames_THWC: Bytes, kind: str, seed: int) -> Bytes:
    """Return frames with a thing of the scene that is no mark; `kind` is one of SCENERY."""
    draw = np.random.default_rng(seed)
    return _SCENERY[kind](frames_THWC, draw)


def _cover_with(frame_HWC: Bytes, layer: Layer | None) -> Bytes:
    if layer is None:
        return frame_HWC
    alphas_HW1 = layer.alphas_HW[..., None]
    return np.asarray(np.round(frame_HWC * (1 - alphas_HW1) + layer.colours_HWC * alphas_HW1), np.uint8)


def _write(
    width: int,
    height: int,
    text: str,
    *,
    size_px: float,
    centre: tuple[float, float] | None = None,
    left_top: tuple[float, float] = (0, 0),
    fill: tuple[int, int, int] = (255, 255, 255),
    outline: bool = True,
    box: tuple[int, int, int, int] | None = None,
) -> Layer:
    """Return a layer with a line of text; places in pixels. `box`: colour and coverage of a plate behind it, of 255."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(8.0, size_px))
    stroke = max(1, round(size_px / 14)) if outline else 0
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font, stroke_width=stroke)
    x, y = left_top
    if centre is not None:
        x, y = centre[0] - (left + right) / 2, centre[1] - (top + bottom) / 2
    if box is not None:
        pad = size_px / 3
        canvas.rectangle((x + left - pad, y + top - pad, x + right + pad, y + bottom + pad), fill=box)
    canvas.text((x, y), text, font=font, fill=(*fill, 255), stroke_width=stroke, stroke_fill=(0, 0, 0, 255))
    pixels_HW4 = np.asarray(image)
    return Layer(colours_HWC=pixels_HW4[..., 2::-1].copy(), alphas_HW=pixels_HW4[..., 3] / 255.0)


def _logo(draw: np.random.Generator, width: int, height: int, alpha: float) -> Layer:
    """Return a sign beside a name in one of the corners."""
    side = width * draw.uniform(0.05, 0.09)
    margin = width * draw.uniform(0.02, 0.04)
    right, lower = bool(draw.integers(2)), bool(draw.integers(2))
    name = str(draw.choice(_NAMES))
    colour = [(255, 255, 255), (255, 220, 0), (230, 40, 40), (40, 120, 230)][int(draw.integers(4))]
    if alpha < 1:
        colour = (255, 255, 255)
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(8.0, side * 0.55))
    name_px = canvas.textlength(name, font=font)
    x = width - margin - side - name_px - 4 if right else margin
    y = height - margin - side if lower else margin
    shape = int(draw.integers(3))
    if shape == 0:
        canvas.ellipse((x, y, x + side, y + side), outline=(*colour, 255), width=max(2, round(side / 8)))
        canvas.ellipse((x + side * 0.3, y + side * 0.3, x + side * 0.7, y + side * 0.7), fill=(*colour, 255))
    elif shape == 1:
        canvas.rectangle((x, y, x + side, y + side), fill=(*colour, 255))
        points = [(x + side * 0.3, y + side * 0.2), (x + side * 0.3, y + side * 0.8), (x + side * 0.8, y + side * 0.5)]
        canvas.polygon(points, fill=(0, 0, 0, 255))
    else:
        angles = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2 == 0, side / 2, side / 5)
        canvas.polygon(
            [(x + side / 2 + r * np.sin(a), y + side / 2 - r * np.cos(a)) for a, r in zip(angles, radii, strict=True)],
            fill=(*colour, 255),
        )
    canvas.text((x + side + 4, y + side * 0.2), name, font=font, fill=(*colour, 255))
    pixels_HW4 = np.asarray(image)
    return Layer(colours_HWC=pixels_HW4[..., 2::-1].copy(), alphas_HW=pixels_HW4[..., 3] / 255.0 * alpha)


def _still(layer: Layer) -> Callable[[float], Layer | None]:
    return lambda _second: layer


def _text(draw: np.random.Generator, width: int, height: int) -> Callable[[float], Layer | None]:
    """Return a name at the lower left, on a plate or with an outline."""
    size_px = height * draw.uniform(0.045, 0.07)
    box = [None, (20, 40, 120, 255), (0, 0, 0, 140)][int(draw.integers(3))]
    left_top = width * draw.uniform(0.05, 0.12), height * draw.uniform(0.76, 0.86)
    name = f"{draw.choice(('Dr. Anna Weber', 'John Okafor', 'Li Mei', 'Maria Santos'))}, {draw.choice(('editor', 'witness'))}"
    return _still(_write(width, height, name, size_px=size_px, left_top=left_top, outline=box is None, box=box))


def _subtitles(draw: np.random.Generator, width: int, height: int) -> Callable[[float], Layer | None]:
    """Return lines of 1.2 to 2.5 s, some with a pause behind them."""
    size_px = min(height * draw.uniform(0.055, 0.075), width * 0.055)
    centre = width / 2, height * draw.uniform(0.86, 0.91)
    fill = [(255, 255, 255), (255, 230, 60)][int(draw.integers(2))]
    box = [None, None, (0, 0, 0, 170)][int(draw.integers(3))]
    lines, end = [], float(draw.uniform(0, 0.8))
    for number in draw.permutation(len(_LINES)):
        start = end + float(draw.choice((0.0, 0.1, 0.6)))
        end = start + float(draw.uniform(1.2, 2.5))
        layer = _write(
            width, height, _LINES[number], size_px=size_px, centre=centre, fill=fill, outline=box is None, box=box
        )
        lines.append((start, end, layer))

    def layer_at(second: float) -> Layer | None:
        return next((layer for start, end, layer in lines if start <= second < end), None)

    return layer_at


def _ticker(draw: np.random.Generator, width: int, height: int) -> Callable[[float], Layer | None]:
    """Return text that moves to the left along the lower border, on a plate or without."""
    size_px, speed = height * draw.uniform(0.045, 0.065), width * draw.uniform(0.09, 0.25)
    top, has_plate = height * draw.uniform(0.88, 0.92), bool(draw.integers(3))
    strip = _write(width * 6, height, _NEWS * 3, size_px=size_px, left_top=(0, top), outline=not has_plate)

    def layer_at(second: float) -> Layer:
        left = round(speed * second) % (width * 4)
        colours_HWC = strip.colours_HWC[:, left : left + width].copy()
        alphas_HW = strip.alphas_HW[:, left : left + width].copy()
        if has_plate:
            rows = slice(round(top - size_px * 0.2), min(height, round(top + size_px * 1.5)))
            plate = np.array((110, 30, 20))
            colours_HWC[rows] = np.round(
                colours_HWC[rows] * alphas_HW[rows, :, None] + plate * (1 - alphas_HW[rows, :, None])
            )
            alphas_HW[rows] = 1
        return Layer(colours_HWC=colours_HWC, alphas_HW=alphas_HW)

    return layer_at


_LAYERS: dict[str, Callable[[np.random.Generator, int, int], Callable[[float], Layer | None]]] = {
    "opaque logo": lambda draw, width, height: _still(_logo(draw, width, height, 1.0)),
    "semi-transparent logo": lambda draw, width, height: _still(
        _logo(draw, width, height, float(draw.uniform(0.4, 0.65)))
    ),
    "text": _text,
    "subtitles": _subtitles,
    "ticker": _ticker,
}


def _lay_behind(frames_THWC: Bytes, thing_HWC: Bytes, covered_HW: np.ndarray) -> Bytes:
    """Return frames with a thing on the wall, as sharp as a lens shows it, with half of the noise of the frames."""
    thing_HWC = np.asarray(cv2.GaussianBlur(thing_HWC, (5, 5), 0), np.uint8)
    frames = frames_THWC.copy()
    mean_HWC = frames_THWC.astype(np.float32).mean(0)
    noise_THWC = frames_THWC[:, covered_HW] - mean_HWC[covered_HW]
    frames[:, covered_HW] = np.clip(thing_HWC[covered_HW] + 0.5 * noise_THWC, 0, 255).astype(np.uint8)
    return frames


def _window(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    height, width = frames_THWC.shape[1:3]
    thing_HWC = np.full((height, width, 3), (225, 215, 200), np.uint8)
    covered_HW = np.zeros((height, width), bool)
    left, w, h = round(width * draw.uniform(0, 0.08)), round(width * 0.2), round(height * 0.45)
    covered_HW[:h, left : left + w] = True
    for x in (left, left + w // 2, left + w - 3):
        cv2.line(thing_HWC, (x, 0), (x, h), (60, 70, 80), 4)
    for y in (h // 2, h - 3):
        cv2.line(thing_HWC, (left, y), (left + w, y), (60, 70, 80), 4)
    return _lay_behind(frames_THWC, thing_HWC, covered_HW)


def _picture_frame(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    height, width = frames_THWC.shape[1:3]
    thing_HWC = np.zeros((height, width, 3), np.uint8)
    covered_HW = np.zeros((height, width), bool)
    w, h = round(width * 0.17), round(height * 0.2)
    x, y = round(width * draw.uniform(0.02, 0.08)), round(height * draw.uniform(0.03, 0.1))
    if draw.integers(2):
        x = width - x - w
    covered_HW[y : y + h, x : x + w] = True
    thing_HWC[y : y + h, x : x + w] = (40, 70, 110)
    blobs = draw.integers(40, 220, (6, 8, 3)).astype(np.uint8)
    inner = slice(y + 8, y + h - 8), slice(x + 8, x + w - 8)
    thing_HWC[inner] = cv2.resize(blobs, (w - 16, h - 16), interpolation=cv2.INTER_CUBIC)
    return _lay_behind(frames_THWC, thing_HWC, covered_HW)


def _patterned_wall(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    """Return frames with a pattern over what does not move, as a wallpaper has it."""
    height, width = frames_THWC.shape[1:3]
    still_HW = frames_THWC.astype(np.float32).mean(3).std(0) < 6
    still_HW = cv2.erode(still_HW.astype(np.uint8), np.ones((9, 9))) > 0
    pattern_HW = np.zeros((height, width), np.float32)
    step = round(width * draw.uniform(0.05, 0.09))
    for y in range(0, height, step):
        for x in range((y // step % 2) * step // 2, width, step):
            cv2.circle(pattern_HW, (x, y), step // 4, 1.0, 2)
            cv2.line(pattern_HW, (x - step // 5, y + step // 3), (x + step // 5, y + step // 3), 1.0, 2)
    soft_HW = np.asarray(cv2.GaussianBlur(pattern_HW, (5, 5), 0), np.float32) * still_HW
    return np.asarray(np.clip(frames_THWC - 45 * soft_HW[None, ..., None], 0, 255), np.uint8)


def _glasses_and_hair(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    """Return frames with thin dark curves and rims at the upper border that sway a little, as strands of hair do."""
    height, width = frames_THWC.shape[1:3]
    frames = frames_THWC.copy()
    ends = draw.uniform(0, 1, (24, 4))
    for index, frame in enumerate(frames):
        sway = 1.5 * np.sin(index * 0.9)
        for a, b, c, d in ends:
            points = np.array([(a, 0.0), ((a + b) / 2 + 0.04 * c, 0.1), (b, 0.12 + 0.12 * d)]) * (width * 0.3, height)
            points[:, 0] += width * 0.6 + sway
            cv2.polylines(frame, [points.round().astype(np.int32)], False, (25, 30, 40), 2, cv2.LINE_AA)
        for x in (0.64, 0.73):
            centre = round(width * x + sway), round(height * 0.2)
            cv2.ellipse(
                frame, centre, (round(width * 0.04), round(height * 0.04)), 0, 0, 360, (20, 20, 20), 3, cv2.LINE_AA
            )
    return frames


def _letterbox(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    frames = frames_THWC.copy()
    rows = round(frames.shape[1] * draw.uniform(0.1, 0.14))
    frames[:, :rows] = frames[:, -rows:] = 0
    return frames


def _blurred_letterbox(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    """Return frames shrunk to the middle, between bars that show them enlarged and blurred."""
    height, width = frames_THWC.shape[1:3]
    share = draw.uniform(0.7, 0.8)
    inner_w, inner_h = round(width * share), round(height * share)
    frames = []
    for frame in frames_THWC:
        wide = cv2.GaussianBlur(frame, (0, 0), width / 30)
        if width >= height:
            left = (width - inner_w) // 2
            wide[:, left : left + inner_w] = cv2.resize(frame, (inner_w, height))
        else:
            top = (height - inner_h) // 2
            wide[top : top + inner_h] = cv2.resize(frame, (width, inner_h))
        frames.append(wide)
    return np.stack(frames)


def _head_only(frames_THWC: Bytes, draw: np.random.Generator) -> Bytes:
    """Return frames in which nothing but the middle moves, with a drawn thing on the wall beside the head."""
    height, width = frames_THWC.shape[1:3]
    y_H1, x_1W = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    weight_HW1 = np.clip(1.6 - 1.6 * np.hypot(x_1W / 0.8, (y_H1 - 0.1) / 0.9), 0, 1)[..., None]
    frames = np.round(frames_THWC * weight_HW1 + frames_THWC[:1] * (1 - weight_HW1)).astype(np.uint8)
    return _picture_frame(frames, draw)


_SCENERY: dict[str, Callable[[Bytes, np.random.Generator], Bytes]] = {
    "window": _window,
    "picture frame": _picture_frame,
    "patterned wall": _patterned_wall,
    "glasses and hair": _glasses_and_hair,
    "letterbox": _letterbox,
    "blurred letterbox": _blurred_letterbox,
    "head only": _head_only,
}
