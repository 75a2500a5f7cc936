"""The forgeries by name, what each needs, and their exact segments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from avf_shards.schema.forgery import ForgedKind

from avf_curation.forging.pictures import repeat_frames, still_mouth, swap_face
from avf_curation.forging.sounds import delay, dub, replace_word, shift_pitch
from avf_curation.forging.takes import MARGIN_FRAMES, Take
from avf_curation.media.types import Bytes

Need = Literal["sound", "face", "donor"]
Frames = tuple[int, int]  # start and stop of a stretch
_WORD_FRAMES, _MOUTH_FRAMES = (10, 26), (25, 51)  # shortest, and one more than the longest
_LATE_FRAMES, _SEMITONES = (6, MARGIN_FRAMES + 1), (3.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Forged:
    """A forged take, as long as the one that it was made of."""

    frames_THWC: Bytes
    samples_S: np.ndarray
    stretch: Frames | None  # forged frames; None: all


Forger = Callable[[Take, "Take | None", np.random.Generator], Forged]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of forging."""

    kind: ForgedKind  # of what is forged
    about: str  # words for people
    needs: frozenset[Need]  # of the take; a donor needs the same
    forge: Forger


def _forge_sound(change: Callable[[Take, "Take | None", np.random.Generator], np.ndarray]) -> Forger:
    """Return the forger that changes all of the sound."""

    def forge(take: Take, donor: Take | None, draw: np.random.Generator) -> Forged:
        return Forged(frames_THWC=take.frames_THWC, samples_S=change(take, donor, draw), stretch=None)

    return forge


def _dub(take: Take, donor: Take | None, draw: np.random.Generator) -> np.ndarray:
    assert donor is not None
    return dub(take.samples_S, donor.samples_S, draw)


def _delay(take: Take, donor: Take | None, draw: np.random.Generator) -> np.ndarray:
    return delay(take.samples_S, int(draw.integers(*_LATE_FRAMES)) * int(draw.choice((-1, 1))))


def _shift_pitch(take: Take, donor: Take | None, draw: np.random.Generator) -> np.ndarray:
    return shift_pitch(take.samples_S, float(draw.uniform(*_SEMITONES)) * int(draw.choice((-1, 1))))


def _replace_word(take: Take, donor: Take | None, draw: np.random.Generator) -> Forged:
    stretch = _draw_stretch(take, _WORD_FRAMES, draw)
    samples_S = replace_word(take.samples_S, stretch, MARGIN_FRAMES, draw)
    return Forged(frames_THWC=take.frames_THWC, samples_S=samples_S, stretch=stretch)


def _swap_face(take: Take, donor: Take | None, draw: np.random.Generator) -> Forged:
    assert donor is not None
    assert donor.boxes is not None
    assert take.boxes is not None
    frames_THWC = swap_face(take.frames_THWC, take.boxes, donor.frames_THWC, donor.boxes)
    return Forged(frames_THWC=frames_THWC, samples_S=take.samples_S, stretch=None)


def _still_mouth(take: Take, donor: Take | None, draw: np.random.Generator) -> Forged:
    assert take.boxes is not None
    stretch = _draw_stretch(take, _MOUTH_FRAMES, draw)
    frames_THWC = still_mouth(take.frames_THWC, take.boxes, stretch)
    return Forged(frames_THWC=frames_THWC, samples_S=take.samples_S, stretch=stretch)


def _repeat_frames(take: Take, donor: Take | None, draw: np.random.Generator) -> Forged:
    stretch = _draw_stretch(take, _WORD_FRAMES, draw, first=_WORD_FRAMES[1])
    return Forged(frames_THWC=repeat_frames(take.frames_THWC, stretch), samples_S=take.samples_S, stretch=stretch)


def _draw_stretch(take: Take, lengths: Frames, draw: np.random.Generator, first: int = MARGIN_FRAMES) -> Frames:
    """Return a stretch of a length in the range `lengths`, inside the margins, that starts at `first` or later."""
    length = int(draw.integers(*lengths))
    start = int(draw.integers(max(first, MARGIN_FRAMES), take.frames - MARGIN_FRAMES - length + 1))
    return start, start + length


METHODS: Mapping[str, Method] = {
    "dubbed": Method(
        kind="audio", about="another person's voice", needs=frozenset({"sound", "donor"}), forge=_forge_sound(_dub)
    ),
    "late": Method(
        kind="audio",
        about="the sound 0.24 to 0.56 s late or early",
        needs=frozenset({"sound"}),
        forge=_forge_sound(_delay),
    ),
    "voice_word": Method(
        kind="audio",
        about="0.4 to 1 s of other speech of the same voice",
        needs=frozenset({"sound"}),
        forge=_replace_word,
    ),
    "pitch": Method(
        kind="audio",
        about="the voice three to five semitones higher or lower",
        needs=frozenset({"sound"}),
        forge=_forge_sound(_shift_pitch),
    ),
    "face": Method(kind="video", about="another person's face", needs=frozenset({"face", "donor"}), forge=_swap_face),
    "still_mouth": Method(
        kind="video", about="a mouth that stands still for 1 to 2 s", needs=frozenset({"face"}), forge=_still_mouth
    ),
    "repeated": Method(kind="video", about="0.4 to 1 s of frames again", needs=frozenset(), forge=_repeat_frames),
}
