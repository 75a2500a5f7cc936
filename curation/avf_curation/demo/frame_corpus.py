"""Drawn people with the truth of every frame: talking videos and face pictures, laid out as a user's own are read.

    videos/labels.csv                 file, frame_labels, subject and set of each video
    videos/2000/talk_0.mp4            8 s of a person at 25 frames a second
    videos/2000/talk_0.csv            frame, valence, arousal, expression and twelve action units
    pictures/labels.csv               file, identity, set and the labels of each picture
    pictures/1000/00001.jpg           a face

Nobody is in two sets, and nobody of the pictures is in the videos.
"""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from avf_shards.system.named_writes import write_text

from avf_curation.demo.backgrounds import draw_background, make_hum
from avf_curation.demo.expressive_face import draw_expressive
from avf_curation.demo.expressive_voice import speak_with_arousal
from avf_curation.demo.face_renderer import Pose, make_speaker
from avf_curation.demo.performance import make_performance
from avf_curation.demo.video import HEIGHT, WIDTH, encode_shots, random_path
from avf_curation.media.types import Bytes
from avf_curation.sources.frame_annotations import ACTION_UNITS

LABELS = ("valence", "arousal", "expression", *ACTION_UNITS)
_FACE_PX, _PICTURE_FACE_PX, _PICTURE_PX = 165.0, 105.0, 160
_JPEG_QUALITY = 92
_FIRST_PICTURED, _FIRST_FILMED = 1000, 2000  # numbers of persons


@dataclass(frozen=True, kw_only=True)
class FrameCorpus:
    """How many people the corpus has, and how much of each."""

    filmed: dict[str, int]  # set -> persons that are filmed
    videos: int = 1  # of each filmed person
    frames: int = 200  # of each video
    pictured: dict[str, int]  # set -> persons that are only pictured
    pictures: int = 40  # of each pictured person
    seed: int = 0  # other seeds give other faces, voices and feelings of other people


DRAWN_PEOPLE = FrameCorpus(filmed={"train": 32, "validation": 10, "test": 14}, pictured={"train": 64, "validation": 16})


@dataclass(frozen=True, kw_only=True)
class _Take:
    """One video or one person's pictures."""

    person: int  # number of the speaker
    seed: int
    frames: int


def write_frame_corpus(folder: Path, corpus: FrameCorpus = DRAWN_PEOPLE, processes: int = 1) -> None:
    """Write the corpus as `folder`, atomically; an existing folder is not touched.

    Args:
        processes: number of processes that draw and encode; the files are the same for any number.
    """
    if folder.is_dir():
        return
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    films = list(_list_films(corpus))
    people = list(_list_pictured(corpus))
    folders = [f"videos/{Path(name).parent}" for name, _, _ in films] + [f"pictures/{name}" for name, _, _ in people]
    for name in ("videos", "pictures", *folders):
        (temporary / name).mkdir(parents=True, exist_ok=True)
    jobs: list[Any] = [partial(_write_film, temporary / "videos" / name, take) for name, _, take in films]
    jobs += [partial(_write_pictures, temporary / "pictures" / name, take) for name, _, take in people]
    results = _run_jobs(jobs, processes)
    rows = [(f"{name}.mp4", f"{name}.csv", Path(name).parent.name, subset) for name, subset, _ in films]
    _write_table(temporary / "videos/labels.csv", ("file", "frame_labels", "subject", "set"), rows)
    tables = [
        (f"{name}/{number:05d}.jpg", name, subset, *labels)
        for (name, subset, _), pictures in zip(people, results[len(films) :], strict=True)
        for number, labels in enumerate(pictures, 1)
    ]
    _write_table(temporary / "pictures/labels.csv", ("file", "identity", "set", *LABELS), tables)
    os.replace(temporary, folder)


def _list_films(corpus: FrameCorpus) -> Iterator[tuple[str, str, _Take]]:
    """Yield (name without extension, set, take) of each video."""
    person = _FIRST_FILMED
    for subset, count in corpus.filmed.items():
        for _ in range(count):
            for number in range(corpus.videos):
                name = f"{person}/talk_{number}"
                yield name, subset, _make_take(corpus, person, name, corpus.frames)
            person += 1


def _list_pictured(corpus: FrameCorpus) -> Iterator[tuple[str, str, _Take]]:
    """Yield (folder, set, take) of each person that is only pictured."""
    person = _FIRST_PICTURED
    for subset, count in corpus.pictured.items():
        for _ in range(count):
            yield str(person), subset, _make_take(corpus, person, str(person), corpus.pictures)
            person += 1


def _make_take(corpus: FrameCorpus, person: int, name: str, frames: int) -> _Take:
    digest = hashlib.sha256(f"{corpus.seed} {name}".encode()).digest()
    return _Take(person=person + 10_000 * corpus.seed, seed=int.from_bytes(digest[:4], "big"), frames=frames)


def _run_jobs(jobs: list[Any], processes: int) -> list[Any]:
    if processes == 1:
        return [job() for job in jobs]
    # Spawned, because a fork would copy the threads' locks of libraries that are at work here.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(_call, jobs))


def _call(job: Any) -> Any:
    return job()


def _write_film(path: Path, take: _Take) -> None:
    """Write a video and its table of frames."""
    person = make_speaker(take.person)
    performance = make_performance(take.frames, take.seed)
    utterance = speak_with_arousal(performance.arousal_T, person.pitch_hz, take.seed, take.person)
    faces = [performance.face(t, float(utterance.mouth_T[t])) for t in range(take.frames)]
    draw = np.random.default_rng([take.seed, 23])
    background = draw_background(take.seed, WIDTH, HEIGHT)
    sway, nod, roll = (random_path(draw, take.frames, size) for size in (5.0, 3.0, 2.5))
    blink = int(draw.integers(40, 110))

    def images() -> Iterator[Bytes]:
        for t, face in enumerate(faces):
            eyes = 0.0 if t % blink in (20, 21, 22) else 1.0
            pose = Pose(x=WIDTH / 2 + sway[t], y=HEIGHT * 0.44 + nod[t], height=_FACE_PX, roll=roll[t], eyes=eyes)
            frame = background.copy()
            draw_expressive(frame, person, pose, face)
            yield frame

    samples = utterance.samples + make_hum(take.seed, len(utterance.samples))
    path.with_suffix(".mp4").write_bytes(encode_shots([(images(), samples)]))
    rows = ((t + 1, *performance.labels(t, face).values()) for t, face in enumerate(faces))
    _write_table(path.with_suffix(".csv"), ("frame", *LABELS), rows)


def _write_pictures(folder: Path, take: _Take) -> list[tuple[str, ...]]:
    """Write the pictures of a person as 00001.jpg and so on, and return the labels of each."""
    person = make_speaker(take.person)
    labels = []
    for number in range(take.frames):
        seed = take.seed + number
        draw = np.random.default_rng([seed, 25])
        performance = make_performance(200, seed)
        moment = int(draw.integers(200))
        face = performance.face(moment, float(draw.choice((0.0, draw.uniform(0, 1)))))
        image = draw_background(seed, _PICTURE_PX, _PICTURE_PX)
        x, y = _PICTURE_PX / 2 + draw.normal(0, 4, 2)
        eyes = 0.0 if draw.uniform() < 0.04 else 1.0
        height = _PICTURE_FACE_PX * draw.uniform(0.9, 1.1)
        pose = Pose(x=x, y=y - 4, height=height, roll=draw.normal(0, 4), eyes=eyes)
        draw_expressive(image, person, pose, face)
        data: Any = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        (folder / f"{number + 1:05d}.jpg").write_bytes(data.tobytes())
        labels.append(tuple(performance.labels(moment, face).values()))
    return labels


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, table.getvalue())
