"""Two small labelled corpora: what somebody feels shows half in the face and half in the voice.

A smile with a lively voice is happy, with a flat one calm; a grim face with a lively voice is angry, with a flat one
sad. So neither modality alone tells more than two apart of four.
"""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avf_curation.demo.video import ShotScript, VideoScript, encode_video

FRAMES = 80  # more than one window of the models, so that training never sees a clip from one start alone
FEELINGS = {"happy": (1.0, 1.0), "calm": (1.0, -1.0), "anger": (-1.0, 1.0), "sadness": (-1.0, -1.0)}
DATASET = """\
# {title}: drawn people who feel; made by avf-curate demo --labelled.
name: {name}
title: {title}
source: {name}
task: emotion
labels: [happy, calm, anger, sadness]
folds: 4
split: subject_blocks
metrics: [UAR, WAR]
clips: {clips}
label_field: label
alignment: {{happy: happy, calm: calm, anger: anger, sadness: sadness}}
"""


@dataclass(frozen=True, kw_only=True)
class Cast:
    """One corpus: people from number `first` on, each in every feeling, `cast_videos` times."""

    name: str
    title: str
    first: int
    people: int
    takes: int

    @property
    def clips(self) -> int:
        return self.people * self.takes * len(FEELINGS)


ACTORS = Cast(name="actors", title="Actors", first=300, people=12, takes=2)
CROWD = Cast(name="crowd", title="Crowd", first=400, people=36, takes=2)


def cast_videos(troupe: Cast) -> Iterator[tuple[str, str, str, VideoScript]]:
    """(file, label, subject, film) of each take."""
    for number in range(troupe.first, troupe.first + troupe.people):
        for take in range(troupe.takes):
            for feeling, (smile, voice) in FEELINGS.items():
                seed = _unrelated(f"{number} {take} {feeling}")
                shot = ShotScript(frames=FRAMES, people=(number,), seed=seed, smile=smile, voice=voice)
                yield f"{number}/{feeling}_{take}.mp4", feeling, str(number), VideoScript(shots=(shot,))


def _unrelated(text: str) -> int:
    """A seed that says nothing of the feeling: rooms and blinks follow from it, and a room must not give it away."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def write_cast(troupe: Cast, folder: Path) -> None:
    """Make the corpus with its labels.csv in `folder`, whole or not at all; one that is there stays."""
    if folder.is_dir():
        return
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "label", "subject"))
    for path, label, subject, film in cast_videos(troupe):
        (temporary / path).parent.mkdir(parents=True, exist_ok=True)
        (temporary / path).write_bytes(encode_video(film))
        rows.writerow((path, label, subject))
    (temporary / "labels.csv").write_text(table.getvalue(), "utf-8")
    os.replace(temporary, folder)


def dataset_row(troupe: Cast) -> str:
    """The row of the labelled data sets' table that `avf-train` reads for it."""
    return DATASET.format(name=troupe.name, title=troupe.title, clips=troupe.clips)
