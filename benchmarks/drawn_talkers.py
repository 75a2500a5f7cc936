"""Drawn talkers to learn the sync from: the generator of `avf-curate demo`, in quantity, seen by FaceMesh.

Shapes: T frames, H = W = 224 pixels, C = 3 channels (BGR).
"""

import numpy as np
from avf_curation.demo.backgrounds import draw_background
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_curation.demo.video import random_path
from avf_curation.detectors.face_mesh import FaceMesh, lip_distances
from avf_curation.detectors.sync_training import Talk
from avf_curation.media.types import FULL_SCALE, Bytes
from avf_shards.timeline import SAMPLES_PER_FRAME

FRAMES = 250
SIDE_PX = 224
_FIRST_PERSON = 1000  # numbers of people that no other benchmark draws


def read_drawn_talkers(seconds: float) -> list[Talk]:
    """Return talks of 10 s, each of another drawn person, that are at least `seconds` long together."""
    mesh = FaceMesh.from_program()
    return [_draw_talk(mesh, number) for number in range(int(np.ceil(seconds * 25 / FRAMES)))]


def _draw_talk(mesh: FaceMesh, number: int) -> Talk:
    person, draw = make_speaker(_FIRST_PERSON + number), np.random.default_rng([number, 5])
    speech = speak(FRAMES, person.pitch_hz, number, voice=float(draw.uniform(-1, 1)))
    samples = (speech.samples[: FRAMES * SAMPLES_PER_FRAME] * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
    points_TP3 = mesh.find_points(_draw_face(number, speech.mouth_T, draw))
    return Talk(distances_TD=lip_distances(points_TP3), samples=samples.astype(np.int16))


def _draw_face(number: int, mouth_T: np.ndarray, draw: np.random.Generator) -> Bytes:
    """Return a face (T, H, W, C) that sways, nods, tilts and blinks while its mouth opens by `mouth_T`."""
    person, background = make_speaker(_FIRST_PERSON + number), draw_background(number, 400, 300)
    sway_T, nod_T, roll_T = (random_path(draw, FRAMES, size) for size in (4.0, 3.0, 2.5))
    height, blink = float(draw.uniform(110, 150)), int(draw.integers(20, 90))
    frames = []
    for t in range(FRAMES):
        frame = background[30 : 30 + SIDE_PX, 60 : 60 + SIDE_PX].copy()
        pose = Pose(
            x=SIDE_PX / 2 + sway_T[t],
            y=SIDE_PX / 2 + nod_T[t],
            height=height,
            roll=roll_T[t],
            mouth=float(mouth_T[t]),
            eyes=0.0 if t % blink < 3 else 1.0,
        )
        draw_speaker(frame, person, pose)
        frames.append(frame)
    return np.stack(frames)
