"""Shots of drawn speakers, and the mp4 files made of them."""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from avf_shards.timeline import SAMPLES_PER_FRAME

from avf_curation.demo.backgrounds import draw_background, make_hum
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_curation.forging.film_file import Shot, mux_film
from avf_curation.media.types import Bytes

WIDTH, HEIGHT = 480, 360


@dataclass(frozen=True, kw_only=True)
class ShotScript:
    """Script of one shot."""

    frames: int  # length at 25 fps
    speakers: tuple[int, ...] = (0,)  # numbers of the persons in the shot; the first one speaks
    seed: int = 0  # of background, speech, movement and blinks
    face_px: float = 165.0  # height of a face
    pauses: tuple[tuple[int, int], ...] = ()  # ranges of silent frames
    sound_shift: int = 0  # frames by which the audio is late
    blur: float = 0.0  # sigma of the Gaussian in pixels
    frozen: tuple[int, int] = (0, 0)  # range of frames that repeat the frame before
    pan: float = 0.0  # movement of the background in pixels per frame
    logo: Literal["none", "name", "sign"] = "none"  # of a channel, in the upper right corner: with letters, or without
    hum: bool = True  # whether the ventilation of the background is heard
    smile: float = 0.0  # emotion of the face, from -1 (grim) to 1 (smiling)
    voice: float = 0.0  # emotion of the voice, from -1 (flat) to 1 (lively)


@dataclass(frozen=True, kw_only=True)
class VideoScript:
    """Script of one file: its shots in order."""

    shots: tuple[ShotScript, ...]  # in order of time
    sound: bool = True  # whether the file has an audio track
    #: Whether the index (moov) lies before the media; a truncated file can be opened only with the index first.
    moov_first: bool = True


def shot_frames(shot: ShotScript) -> Shot:
    """Return the frames of a shot, (HEIGHT, WIDTH, 3) BGR, and its 16 kHz samples, float from -1 to 1."""
    speaker = make_speaker(shot.speakers[0]) if shot.speakers else make_speaker(0)
    utterance = speak(shot.frames, speaker.pitch_hz, shot.seed, shot.pauses, shot.voice)
    samples = utterance.samples + (make_hum(shot.seed, len(utterance.samples)) if shot.hum else 0.0)
    if shot.sound_shift:
        late = shot.sound_shift * SAMPLES_PER_FRAME
        samples = np.concatenate([np.zeros(late), samples[:-late]]) if late > 0 else np.roll(samples, late)
    return _draw_frames(shot, utterance.mouth_T), samples


def _draw_frames(shot: ShotScript, mouth_T: np.ndarray) -> Iterator[Bytes]:
    draw = np.random.default_rng([shot.seed, 3])
    background = draw_background(shot.seed, WIDTH + int(abs(shot.pan) * shot.frames) + 1, HEIGHT)
    sway = random_path(draw, shot.frames, 5.0)
    nod = random_path(draw, shot.frames, 3.0)
    roll = random_path(draw, shot.frames, 2.5)
    blink = draw.integers(20, 90)
    still: Bytes | None = None
    for t in range(shot.frames):
        if still is not None and shot.frozen[0] <= t < shot.frozen[1]:
            yield still
            continue
        offset_px = int(abs(shot.pan) * t)
        frame = background[:, offset_px : offset_px + WIDTH].copy()
        for index, number in enumerate(shot.speakers):
            x = WIDTH * (index + 1) / (len(shot.speakers) + 1)
            eyes = 0.0 if (t + 31 * index) % blink < 3 else 1.0
            mouth = float(mouth_T[t]) if index == 0 else 0.05
            pose = Pose(
                x=x + sway[t],
                y=HEIGHT * 0.44 + nod[t],
                height=shot.face_px,
                roll=roll[t],
                mouth=mouth,
                eyes=eyes,
                smile=shot.smile,
            )
            draw_speaker(frame, make_speaker(number), pose)
        if shot.blur:
            frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), shot.blur), np.uint8)
        if shot.logo == "name":
            _draw_name(frame)
        elif shot.logo == "sign":
            _draw_sign(frame)
        still = frame
        yield frame


def random_path(draw: np.random.Generator, frames: int, size: float) -> np.ndarray:
    """Return a smooth random path around zero, one value per frame."""
    knots = draw.normal(0, size, frames // 20 + 3)
    return np.interp(np.arange(frames) / 20, np.arange(len(knots)), knots)


def _draw_sign(frame_HWC: Bytes) -> None:
    """Draw a channel's sign, a ring around a star, into the upper right corner."""
    centre = WIDTH - 50, 40
    cv2.circle(frame_HWC, centre, 26, (250, 250, 250), thickness=3, lineType=cv2.LINE_AA)
    angles = np.arange(5) * 4 * np.pi / 5
    outline = (
        np.stack([centre[0] + 20 * np.sin(angles), centre[1] - 20 * np.cos(angles)], axis=1).round().astype(np.int32)
    )
    cv2.polylines(frame_HWC, [outline], True, (250, 250, 250), thickness=3, lineType=cv2.LINE_AA)


def _draw_name(frame_HWC: Bytes) -> None:
    """Draw a channel's name into the upper right corner."""
    cv2.rectangle(frame_HWC, (WIDTH - 92, 14), (WIDTH - 16, 44), (250, 250, 250), 2, cv2.LINE_AA)
    cv2.putText(frame_HWC, "AVF TV", (WIDTH - 86, 36), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250, 250, 250), 2, cv2.LINE_AA)


def encode_video(script: VideoScript) -> bytes:
    """Return the bytes of an mp4: H.264 video, and AAC at 16 kHz where the script has audio."""
    return encode_shots([shot_frames(shot) for shot in script.shots], script.sound, script.moov_first)


def encode_shots(
    shots: Sequence[Shot], sound: bool = True, moov_first: bool = True, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    """Return the bytes of an mp4 of shots, as `shot_frames` returns them; `size`: width and height of their frames."""
    with tempfile.TemporaryDirectory(prefix="avf-video-") as folder:
        path = Path(folder, "video.mp4")  # on disk, because +faststart reads the file back
        options = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if moov_first else {})
        with av.open(str(path), "w", format="mp4", options=options) as container:
            mux_film(container, shots, sound, size)
        return path.read_bytes()


def write_files(folder: Path, files: Mapping[str, Callable[[], bytes]], processes: int) -> None:
    """Write files below `folder`, each from the function that returns its bytes, in so many processes.

    The functions must be picklable where there are two processes or more.
    """
    for parent in {(folder / name).parent for name in files}:
        parent.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        for name, content in files.items():
            _write_file(folder / name, content)
        return
    # Spawned, because a fork would copy the threads' locks of libraries that are at work here.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_write_file, [folder / name for name in files], files.values()))


def _write_file(path: Path, content: Callable[[], bytes]) -> None:
    path.write_bytes(content())
