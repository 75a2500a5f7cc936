"""Pictures of drawn faces that dlib finds, and small runs of such pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.media.types import Bytes
from avf_curation.recipe import Recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.registry import load_recipe_for
from avf_shards.format.run_folder import RunFolder

from support.curation_runs import EMBEDDED

EMBEDDED_PICTURES = replace(EMBEDDED, content="pictures")
SIZE = 240, 200  # width and height of the pictures
FAST = ("plan.unit_videos=2", "plan.min_units=1", "faces.upsample=0", "faces.side_px=240")


def draw_faces(*seeds: int, smile: float = 0.0) -> Bytes:
    """Return a picture, BGR, of so many drawn people side by side on a background that is not plain."""
    width, height = SIZE
    rows, columns = np.mgrid[:height, :width]
    ground = (120 + 40 * np.sin(columns / 7) * np.cos(rows / 9)).astype(np.uint8)
    image_HWC = np.repeat(ground[..., None], 3, axis=2).copy()
    for number, seed in enumerate(seeds):
        x = width * (number + 0.5) / len(seeds)
        draw_speaker(image_HWC, make_speaker(seed), Pose(x=x, y=height * 0.45, height=110, smile=smile))
    return image_HWC


def encode_face(*seeds: int, extension: str = ".jpg", smile: float = 0.0) -> bytes:
    """Return a picture of drawn people as a file."""
    return bytes(cv2.imencode(extension, draw_faces(*seeds, smile=smile))[1])


def write_face(root: Path, name: str, *seeds: int) -> None:
    """Write a picture of drawn people."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_face(*seeds, extension=path.suffix))


def load_picture_recipe(sources: Sequence[str], *overrides: str) -> Recipe:
    """Return the recipe of a run of these sources, quick and in small units."""
    return load_recipe_for(sources, None, [*FAST, *overrides])


def curate_pictures(root: Path, out: Path, *overrides: str, source: str = "pictures") -> RunFolder:
    """Curate a folder of pictures in this process."""
    recipe = load_picture_recipe([source], *overrides)
    return curate(recipe, EMBEDDED_PICTURES, {source: root}, out, RunOptions(engine="inline"))
