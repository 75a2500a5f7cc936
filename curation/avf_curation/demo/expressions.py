"""Two small labelled corpora of four emotions, of which the face shows one half and the voice the other.

A smile with a lively voice is happy, with a flat voice calm; a grim face with a lively voice is anger, with a flat
voice sadness. So each modality alone can tell only two groups of two emotions apart.
"""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avf_curation.demo.video import ShotScript, VideoScript, encode_video, write_files

FRAMES = 80  # longer than a window of the models, so that training starts clips at several frames
EMOTIONS = {"happy": (1.0, 1.0), "calm": (1.0, -1.0), "anger": (-1.0, 1.0), "sadness": (-1.0, -1.0)}
DATASET = """\
# {title}: drawn speakers with emotions; made by avf-curate demo --labelled.
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
    """The speakers of one corpus, who show every emotion several times."""

    name: str  # of the source
    title: str  # of the corpus, for tables
    first: int  # number of the first speaker; the others follow
    speakers: int  # number of speakers
    takes: int  # videos per speaker and emotion

    @property
    def clips(self) -> int:
        return self.speakers * self.takes * len(EMOTIONS)


ACTORS = Cast(name="actors", title="Actors", first=300, speakers=12, takes=2)
CROWD = Cast(name="crowd", title="Crowd", first=400, speakers=36, takes=2)


def cast_videos(cast: Cast) -> Iterator[tuple[str, str, str, VideoScript]]:
    """Yield (file, label, subject, video) of each take."""
    for number in range(cast.first, cast.first + cast.speakers):
        for take in range(cast.takes):
            for emotion, (smile, voice) in EMOTIONS.items():
                seed = _make_seed(f"{number} {take} {emotion}")
                shot = ShotScript(frames=FRAMES, speakers=(number,), seed=seed, smile=smile, voice=voice)
                yield f"{number}/{emotion}_{take}.mp4", emotion, str(number), VideoScript(shots=(shot,))


def _make_seed(text: str) -> int:
    """Return a seed that is independent of the emotion.

    The background and the blinks follow from the seed: a model must not learn the emotion from the background.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def write_cast(cast: Cast, folder: Path, processes: int = 1) -> None:
    """Write the corpus with its labels.csv as `folder`, atomically, in so many processes.

    An existing folder is not touched.
    """
    if folder.is_dir():
        return
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "label", "subject"))
    files = {}
    for path, label, subject, video in cast_videos(cast):
        files[path] = partial(encode_video, video)
        rows.writerow((path, label, subject))
    write_files(temporary, files, processes)
    (temporary / "labels.csv").write_text(table.getvalue(), "utf-8")
    os.replace(temporary, folder)


def dataset_row(cast: Cast) -> str:
    """Return the row of the table of labelled data sets by which `avf-train` reads this corpus."""
    return DATASET.format(name=cast.name, title=cast.title, clips=cast.clips)
