"""Shots of drawn people, and files made of them."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.demo.backgrounds import draw_background, make_hum
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_curation.media.types import Bytes

WIDTH, HEIGHT = 480, 360
_AAC_FRAME = 1024


@dataclass(frozen=True, kw_only=True)
class ShotScript:
    """One take. people: numbers of those in it, the first speaks. pauses: silent frame ranges.

    sound_shift: frames by which the sound comes late. blur: Gaussian sigma. frozen: frame range with a still picture.
    pan: backdrop pixels per frame. hum: whether the room is heard. smile, voice: how the speaker feels, by face and by
    voice, from -1 (grim, flat) to 1 (smiling, lively).
    """

    frames: int
    people: tuple[int, ...] = (0,)
    seed: int = 0
    face_px: float = 165.0
    pauses: tuple[tuple[int, int], ...] = ()
    sound_shift: int = 0
    blur: float = 0.0
    frozen: tuple[int, int] = (0, 0)
    pan: float = 0.0
    logo: bool = False
    hum: bool = True
    smile: float = 0.0
    voice: float = 0.0


@dataclass(frozen=True, kw_only=True)
class VideoScript:
    """A file: shots one after another, with sound or without."""

    shots: tuple[ShotScript, ...]
    sound: bool = True
    moov_first: bool = True


def shot_frames(shot: ShotScript) -> tuple[Iterator[Bytes], np.ndarray]:
    """Pictures of a shot, (HEIGHT, WIDTH, 3) BGR, and its samples, float."""
    speaker = make_speaker(shot.people[0]) if shot.people else make_speaker(0)
    said = speak(shot.frames, speaker.pitch_hz, shot.seed, shot.pauses, shot.voice)
    samples = said.samples + (make_hum(shot.seed, len(said.samples)) if shot.hum else 0.0)
    if shot.sound_shift:
        late = shot.sound_shift * SAMPLES_PER_FRAME
        samples = np.concatenate([np.zeros(late), samples[:-late]]) if late > 0 else np.roll(samples, late)
    return _pictures(shot, said.mouth_T), samples


def _pictures(shot: ShotScript, mouth_T: np.ndarray) -> Iterator[Bytes]:
    draw = np.random.default_rng([shot.seed, 3])
    far = draw_background(shot.seed, WIDTH + int(abs(shot.pan) * shot.frames) + 1, HEIGHT)
    sway = _wander(draw, shot.frames, 5.0)
    nod = _wander(draw, shot.frames, 3.0)
    roll = _wander(draw, shot.frames, 2.5)
    blink = draw.integers(20, 90)
    still: Bytes | None = None
    for t in range(shot.frames):
        if still is not None and shot.frozen[0] <= t < shot.frozen[1]:
            yield still
            continue
        left = int(abs(shot.pan) * t)
        frame = far[:, left : left + WIDTH].copy()
        for place, number in enumerate(shot.people):
            x = WIDTH * (place + 1) / (len(shot.people) + 1)
            eyes = 0.0 if (t + 31 * place) % blink < 3 else 1.0
            mouth = float(mouth_T[t]) if place == 0 else 0.05
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
        if shot.logo:
            _stamp(frame)
        still = frame
        yield frame


def _wander(draw: np.random.Generator, frames: int, size: float) -> np.ndarray:
    """A smooth random path around zero."""
    knots = draw.normal(0, size, frames // 20 + 3)
    return np.interp(np.arange(frames) / 20, np.arange(len(knots)), knots)


def _stamp(frame_HWC: Bytes) -> None:
    """A channel's logo in the upper right corner."""
    cv2.rectangle(frame_HWC, (WIDTH - 92, 14), (WIDTH - 16, 44), (250, 250, 250), 2, cv2.LINE_AA)
    cv2.putText(frame_HWC, "AVF TV", (WIDTH - 86, 36), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250, 250, 250), 2, cv2.LINE_AA)


def encode_video(film: VideoScript) -> bytes:
    """The film as an mp4: H.264, and AAC at 16 kHz where it has sound."""
    with tempfile.TemporaryDirectory(prefix="avf-film-") as folder:
        path = Path(folder, "film.mp4")  # a file, because +faststart reads it back
        options = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if film.moov_first else {})
        with av.open(str(path), "w", format="mp4", options=options) as container:
            _mux(container, film)
        return path.read_bytes()


def _mux(container: Any, film: VideoScript) -> None:
    """Encode pictures and sound side by side, so that a file cut short loses both at the same time."""
    video = container.add_stream(
        "libx264",
        rate=FRAMES_PER_SECOND,
        options={"preset": "veryfast", "crf": "20", "x264-params": "threads=1:cpu-independent=1:keyint=25"},
    )
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono") if film.sound else None
    takes = [shot_frames(shot) for shot in film.shots]
    samples = np.concatenate([sound for _, sound in takes]).astype(np.float32)[None]
    number = heard = 0
    for pictures, _ in takes:
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(frame))
            number += 1
            while audio is not None and heard + _AAC_FRAME <= number * SAMPLES_PER_FRAME:
                container.mux(audio.encode(_sound(samples[:, heard : heard + _AAC_FRAME], heard)))
                heard += _AAC_FRAME
    container.mux(video.encode(None))
    if audio is not None:
        if heard < samples.shape[1]:
            container.mux(audio.encode(_sound(samples[:, heard:], heard)))
        container.mux(audio.encode(None))


def _sound(samples: np.ndarray, at: int) -> "av.AudioFrame":
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, at, Fraction(1, SAMPLE_RATE_HZ)
    return frame
