"""What a drawn person feels in each frame of a video, and what of it the face and the voice show.

The face shows valence and the action units, the voice shows arousal, and neither shows the other. Of the eight
expressions, anger and sadness have one face, as neutral and other have; only the arousal of the voice tells them apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.sources.frame_annotations import ACTION_UNITS, EXPRESSIONS

Floats = npt.NDArray[np.float64]
UNIT_THRESHOLD = 0.3  # intensity from which an action unit is labelled as present
LIPS_PART, JAW_DROP = 0.15, 0.5  # opening of the mouth from which AU25 (also with AU10) and AU26 are present
_MIN_MOMENT_S, _MAX_MOMENT_S = 1.2, 3.0
_EASE_S = 0.4  # time that one moment takes to become the next
_MIN_STRENGTH = 0.55


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face: its action units at full strength, its valence, and the expressions that it can be part of."""

    units: dict[str, float]  # action unit -> intensity from 0 to 1
    valence: float
    calm: str  # expression with a calm voice (arousal below 0)
    excited: str  # expression with an excited voice
    either: tuple[str, ...] = ()  # action units of which one moment shows one


FACES = (
    Face(units={}, valence=0.0, calm="Neutral", excited="Other"),
    Face(units={"AU6": 0.8, "AU12": 1.0}, valence=0.9, calm="Happiness", excited="Happiness"),
    Face(units={"AU4": 0.9, "AU15": 0.9}, valence=-0.9, calm="Sadness", excited="Anger", either=("AU23", "AU24")),
    Face(units={"AU1": 1.0, "AU2": 0.7, "AU4": 0.6, "AU26": 0.6}, valence=-0.5, calm="Fear", excited="Fear"),
    Face(units={"AU1": 1.0, "AU2": 1.0, "AU26": 0.9}, valence=0.4, calm="Surprise", excited="Surprise"),
    Face(units={"AU7": 0.9, "AU10": 1.0}, valence=-0.6, calm="Disgust", excited="Disgust"),
)


@dataclass(frozen=True, kw_only=True)
class FaceState:
    """The face in one frame."""

    units: dict[str, float]  # action unit -> intensity from 0 to 1, without AU25 and AU26
    mouth: float  # opening from 0 to 1


@dataclass(frozen=True, kw_only=True)
class Performance:
    """The feelings of one video of T frames at 25 fps."""

    valence_T: Floats  # from -1 to 1
    arousal_T: Floats  # from -1 to 1
    expression_T: npt.NDArray[np.int64]  # number in EXPRESSIONS
    units_TK: Floats  # intensity of each of ACTION_UNITS

    def face(self, frame: int, speech: float) -> FaceState:
        """Return the face of a frame, whose mouth speech opens by `speech`, from 0 to 1."""
        units = dict(zip(ACTION_UNITS, self.units_TK[frame].tolist(), strict=True))
        jaw, lips = units.pop("AU26"), units.pop("AU25")
        closed = 1 - 0.5 * max(units["AU23"], units["AU24"])
        return FaceState(units=units, mouth=min(1.0, max(0.9 * jaw, 0.3 * lips, 0.85 * speech) * closed))

    def labels(self, frame: int, face: FaceState) -> dict[str, str]:
        """Return the labels of a frame with this face: column -> text of a table of frames."""
        units = face.units | {"AU25": 0.0, "AU26": 0.0}
        present = {name: int(units[name] > UNIT_THRESHOLD) for name in ACTION_UNITS}
        parted = face.mouth > LIPS_PART or units["AU10"] > UNIT_THRESHOLD
        present |= {"AU25": int(parted), "AU26": int(face.mouth > JAW_DROP)}
        return {
            "valence": f"{self.valence_T[frame]:.3f}",
            "arousal": f"{self.arousal_T[frame]:.3f}",
            "expression": EXPRESSIONS[self.expression_T[frame]],
            **{name: str(value) for name, value in present.items()},
        }


def make_performance(frames: int, seed: int) -> Performance:
    """Return the feelings of a video: moments of 1.2 to 3 s, each with one face and one level of arousal."""
    draw: Any = np.random.default_rng([seed, 21])
    valence_T, arousal_T = np.zeros(frames), np.zeros(frames)
    expression_T, units_TK = np.zeros(frames, np.int64), np.zeros((frames, len(ACTION_UNITS)))
    start, number = 0, -1
    while start < frames:
        length = int(draw.uniform(_MIN_MOMENT_S, _MAX_MOMENT_S) * FRAMES_PER_SECOND)
        number = (number + int(draw.integers(1, len(FACES)))) % len(FACES)  # another face than the one before
        face, strength = FACES[number], draw.uniform(_MIN_STRENGTH, 1)
        arousal = draw.uniform(0.35, 1) * draw.choice((-1, 1))
        moment = slice(start, start + length)
        valence_T[moment], arousal_T[moment] = strength * face.valence, arousal
        expression_T[moment] = EXPRESSIONS.index(face.excited if arousal > 0 else face.calm)
        units = dict(face.units)
        if face.either:
            units[str(draw.choice(face.either))] = 0.9
        for name, intensity in units.items():
            units_TK[moment, ACTION_UNITS.index(name)] = strength * intensity
        start += length
    return Performance(
        valence_T=_ease(valence_T), arousal_T=_ease(arousal_T), expression_T=expression_T, units_TK=_ease(units_TK)
    )


def _ease(values: Floats) -> Floats:
    """Return values in which one level becomes the next within 0.4 s, around the frame where it changed."""
    window = np.hanning(int(_EASE_S * FRAMES_PER_SECOND) + 2)[1:-1]
    window /= window.sum()
    half = len(window) // 2
    columns = values.reshape(len(values), -1)
    padded = np.pad(columns, ((half, len(window) - 1 - half), (0, 0)), mode="edge")
    eased = np.stack([np.convolve(column, window, mode="valid") for column in padded.T], axis=1)
    return np.asarray(eased.reshape(values.shape))
