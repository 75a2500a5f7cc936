"""Films made of real recordings, each with one failure of a user's corpus or with none, and what is true of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from avf_curation.audit.gates import LabelledSpan
from avf_curation.demo.video import encode_shots
from avf_curation.media.types import Bytes
from avf_curation.stages.reasons import REASONS
from avf_shards.timeline import SAMPLES_PER_FRAME

from benchmarks.gates.marks import MARKS, draw_mark
from benchmarks.gates.recordings import (
    OTHER_SOUNDS,
    OWN_OFFSETS,
    SILENT_FACES,
    TALKERS,
    VOICES,
    Recording,
    read_recordings,
    read_sounds,
)
from benchmarks.gates.transitions import cover, transition_weight

GOOD = "a person talks"
DISSOLVE = "one person dissolves into another"
#: Kind of failure -> the gates that have to reject it: each by itself where several are named.
GATES_OF_KIND: dict[str, tuple[str, ...]] = {
    "voice over a face that does not talk": ("speaker/not_speaking", "sync/mouth_still"),
    "voice of another person": (),
    "sound 7 to 10 frames off": ("sync/offset",),
    "music, street or trumpet": ("silence/no_speech",),
    "white noise": ("silence/no_speech",),
    "two people side by side": ("faces/several_faces", "track/several_faces"),
    DISSOLVE: ("scenes/dissolve", "track/another_face"),
    "blurred": ("quality/blurred",),
    "photograph with a voice": ("quality/frozen",),
    "opaque logo": ("quality/watermark", "quality/still_text"),
    "semi-transparent logo": ("quality/watermark", "quality/still_text"),
    "text": ("quality/watermark", "quality/still_text"),
    "subtitles": ("quality/subtitles",),
    "ticker": ("quality/ticker",),
}
_DISSOLVE_FRAMES = 12
_MIN_MARKED_FRAMES = 100  # a mark is told from the scene by what moves behind it


ALL_GATES = tuple(dict.fromkeys(gate for gates in GATES_OF_KIND.values() for gate in gates))


@dataclass(frozen=True, kw_only=True)
class FilmTruth:
    """What is true of a film."""

    kind: str  # GOOD, or one of GATES_OF_KIND
    half: int  # of the people: 0, whose recordings set limits, or 1, which tell them
    frames: int
    bad: tuple[int, int] | None  # first frame that no kept clip may show, and the one behind the last; None: none

    def spans(self, file: str) -> Iterator[LabelledSpan]:
        """Yield what is true for each gate that the film asks: all gates where nothing is wrong."""
        start, stop = self.bad or (0, self.frames)
        for gate in ALL_GATES if self.bad is None else GATES_OF_KIND[self.kind]:
            if gate in REASONS:
                is_bad = self.bad is not None
                yield LabelledSpan(file=file, start_frame=start, stop_frame=stop, gate=gate, is_bad=is_bad)


@dataclass(frozen=True, kw_only=True)
class Film:
    """Pictures and sound of a film, and what is true of it."""

    truth: FilmTruth
    frames_THWC: Bytes
    samples: np.ndarray  # int16 at 16 kHz

    def encode(self) -> bytes:
        """Return the film as an mp4."""
        height, width = self.frames_THWC.shape[1:3]
        samples = self.samples.astype(np.float32) / 2**15
        return encode_shots([(iter(self.frames_THWC), samples)], size=(width, height))


def make_films() -> Iterator[tuple[str, Film]]:
    """Yield the name of each film's file and the film; nothing where the real recordings are not here."""
    talkers = list(read_recordings(TALKERS))
    voices, others = read_sounds(VOICES), read_sounds(dict.fromkeys(OTHER_SOUNDS, 0.0))
    makers = (
        _make_talking(talkers),
        _make_voice_overs(list(read_recordings(SILENT_FACES)), voices),
        _make_dubs(talkers),
        _make_late(talkers),
        _make_without_speech(talkers, others),
        _make_pairs(talkers),
        _make_bad_pictures(talkers),
        _make_marked(talkers),
    )
    for films in makers:
        for number, film in enumerate(films):
            yield f"{film.truth.kind.replace(' ', '_').replace(',', '')}_{number:03}.mp4", film


def write_films(folder: Path) -> dict[str, FilmTruth]:
    """Write each film into `folder`, and return what is true of each, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    truths = {}
    for name, film in make_films():
        (folder / name).write_bytes(film.encode())
        truths[name] = film.truth
    return truths


def _film(
    recording: Recording,
    kind: str,
    *,
    frames_THWC: Bytes | None = None,
    samples: np.ndarray | None = None,
    bad: tuple[int, int] | None = None,
) -> Film:
    """Return a film of a recording with other pictures or sound; without `bad` all of it is bad, but for GOOD."""
    frames_THWC = recording.frames_THWC if frames_THWC is None else frames_THWC
    if kind != GOOD and bad is None:
        bad = (0, len(frames_THWC))
    truth = FilmTruth(kind=kind, half=recording.number % 2, frames=len(frames_THWC), bad=bad)
    return Film(truth=truth, frames_THWC=frames_THWC, samples=recording.samples if samples is None else samples)


def _make_talking(talkers: Sequence[Recording]) -> Iterator[Film]:
    for talker in talkers:
        yield _film(talker, GOOD)


def _make_voice_overs(faces: Sequence[Recording], voices: dict[str, np.ndarray]) -> Iterator[Film]:
    for face in faces:
        for voice in voices.values():
            yield _film(face, "voice over a face that does not talk", samples=_fit(voice, face))


def _make_dubs(talkers: Sequence[Recording]) -> Iterator[Film]:
    """Yield talkers with the voices of the two who follow; people of the two halves are not mixed."""
    for index, talker in enumerate(talkers):
        for step in (2, 4):
            other = talkers[(index + step) % len(talkers)]
            if other.number % 2 == talker.number % 2:
                yield _film(talker, "voice of another person", samples=_fit(other.samples, talker))


def _make_late(talkers: Sequence[Recording]) -> Iterator[Film]:
    own = {Path(name).stem: offset for name, offset in OWN_OFFSETS.items()}
    for talker in talkers:
        draw = np.random.default_rng(talker.number)
        for shift in (int(draw.integers(7, 11)), -int(draw.integers(7, 11))):
            samples = np.roll(talker.samples, (shift + own.get(talker.name, 0)) * SAMPLES_PER_FRAME)
            yield _film(talker, "sound 7 to 10 frames off", samples=samples)


def _make_without_speech(talkers: Sequence[Recording], others: dict[str, np.ndarray]) -> Iterator[Film]:
    for index, talker in enumerate(talkers):
        noise = np.random.default_rng(talker.number).normal(0, 3000, len(talker.samples)).astype(np.int16)
        yield _film(talker, "white noise", samples=noise)
        if others:
            sound = list(others.values())[index % len(others)]
            yield _film(talker, "music, street or trumpet", samples=_fit(sound, talker))


def _make_pairs(talkers: Sequence[Recording]) -> Iterator[Film]:
    for index, talker in enumerate(talkers):
        other = talkers[(index + 2) % len(talkers)]
        if other.number % 2 != talker.number % 2:
            continue
        frames = min(len(talker.frames_THWC), len(other.frames_THWC))
        height, width = talker.size[1] // 2 * 2, talker.size[0] // 4 * 4
        beside_THWC = np.stack(
            [
                np.concatenate([cover(image, width // 2, height) for image in images], axis=1)
                for images in zip(talker.frames_THWC[:frames], other.frames_THWC[:frames], strict=True)
            ]
        )
        samples = talker.samples[: frames * SAMPLES_PER_FRAME]
        yield _film(talker, "two people side by side", frames_THWC=beside_THWC, samples=samples)
        yield _dissolve(talker, other)


def _dissolve(first: Recording, second: Recording) -> Film:
    """Return a film of which a clip that shows the dissolve, or both people, is wrong; its middle is the bad part."""
    lead = min(60, len(first.frames_THWC) - _DISSOLVE_FRAMES)
    rest = min(60, len(second.frames_THWC) - _DISSOLVE_FRAMES)
    width, height = first.size
    frames = list(first.frames_THWC[:lead])
    for index in range(_DISSOLVE_FRAMES):
        weight = transition_weight("dissolve", (index + 1) / (_DISSOLVE_FRAMES + 1), width, height)[..., None]
        over_HWC = cover(second.frames_THWC[index], width, height)
        frames.append(np.round(first.frames_THWC[lead + index] * (1 - weight) + over_HWC * weight).astype(np.uint8))
    frames += [cover(image, width, height) for image in second.frames_THWC[_DISSOLVE_FRAMES:][:rest]]
    cut = lead * SAMPLES_PER_FRAME
    samples = np.concatenate([first.samples[:cut], second.samples[: (_DISSOLVE_FRAMES + rest) * SAMPLES_PER_FRAME]])
    bad = (lead, lead + _DISSOLVE_FRAMES)
    return _film(first, DISSOLVE, frames_THWC=np.stack(frames), samples=samples, bad=bad)


def _make_bad_pictures(talkers: Sequence[Recording]) -> Iterator[Film]:
    for talker in talkers:
        width, height = talker.size
        sigma = max(width, height) / 60
        blurred = np.stack([np.asarray(cv2.GaussianBlur(image, (0, 0), sigma)) for image in talker.frames_THWC])
        yield _film(talker, "blurred", frames_THWC=blurred)
        still = talker.frames_THWC[0]
        moved = np.stack([_zoom(still, 1.05 + 0.1 * index / 100) for index in range(len(talker.frames_THWC))])
        yield _film(talker, "photograph with a voice", frames_THWC=moved)


def _zoom(image_HWC: Bytes, zoom: float) -> Bytes:
    height, width = image_HWC.shape[:2]
    motion_23 = np.array([[zoom, 0, width * (1 - zoom) / 2], [0, zoom, height * (1 - zoom) / 2]])
    return np.asarray(cv2.warpAffine(image_HWC, motion_23, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _make_marked(talkers: Sequence[Recording]) -> Iterator[Film]:
    for talker in talkers:
        if len(talker.frames_THWC) >= _MIN_MARKED_FRAMES:
            for mark in MARKS:
                yield _film(talker, mark, frames_THWC=draw_mark(talker.frames_THWC, mark, talker.number))


def _fit(samples: np.ndarray, recording: Recording) -> np.ndarray:
    """Return a sound as long as a recording, repeated where it is shorter."""
    return np.resize(samples, len(recording.samples))
