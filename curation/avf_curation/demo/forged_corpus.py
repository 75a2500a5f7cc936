"""Drawn people who talk, and forgeries of their videos: real and fake with exact segments, for deepfake detection.

    originals/3000/talk_0.mp4          a person, drawn
    forged/labels.csv                  as avf-curate forge writes it, of that folder
    forged/3000/talk_0/real.mp4        the same video, encoded as often as its forgeries
    forged/3000/talk_0/dubbed.mp4      a forgery

Nobody is in two splits, and voices and faces are lent within one.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avf_curation.demo.video import ShotScript, VideoScript, encode_video, write_files
from avf_curation.forging.forge import forge_folder
from avf_curation.forging.original_films import ForgeConfig
from avf_curation.forging.takes import MARGIN_FRAMES

FORGED, ORIGINALS = "forged", "originals"
_FIRST = 3000  # number of the first person


@dataclass(frozen=True, kw_only=True)
class ForgedCorpus:
    """How many people the corpus has, and how much of each."""

    people: int = 30
    videos: int = 1  # of each person
    frames: int = 100  # of each video, real or forged
    seed: int = 0  # other seeds give other people, forgeries and splits
    fakes: int | None = None  # of each video, of the methods in turn; None: one of each method


def write_forged_corpus(corpus: ForgedCorpus, folder: Path, processes: int = 1) -> None:
    """Write `originals` and `forged` into the folder; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    originals = folder / ORIGINALS
    if not originals.is_dir():
        temporary = folder / f".{ORIGINALS}.{os.getpid()}.part"
        shutil.rmtree(temporary, ignore_errors=True)
        numbers = range(_FIRST, _FIRST + corpus.people)
        names = {f"{number}/talk_{take}.mp4": number for number in numbers for take in range(corpus.videos)}
        write_files(
            temporary,
            {name: partial(encode_video, _script(corpus, name, number)) for name, number in names.items()},
            processes,
        )
        os.replace(temporary, originals)
    settings = ForgeConfig(fakes=corpus.fakes, seed=corpus.seed)
    forge_folder(originals, folder / FORGED, settings, processes=processes)


def _script(corpus: ForgedCorpus, name: str, number: int) -> VideoScript:
    """Return the script of a video: the person follows from the number and the corpus, all else from the name too."""
    person = number + 10_000 * corpus.seed
    digest = hashlib.sha256(f"{corpus.seed} {name}".encode()).digest()
    frames = corpus.frames + 2 * MARGIN_FRAMES
    return VideoScript(shots=(ShotScript(frames=frames, speakers=(person,), seed=int.from_bytes(digest[:4], "big")),))
