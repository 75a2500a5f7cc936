"""RAVDESS: Actor_NN/MM-CC-EE-II-SS-RR-AA.mp4; speech with picture and sound, one of the twins with and without sound.

Modality 01 has both; 02 is the same take without sound, for which 03, a wav, stands beside. The take is an input once.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import SkippedInput, Video

NAME = "ravdess"
ABOUT = (
    "RAVDESS: speech with video and audio; songs are excluded. Modality 01 has video and audio; modality 02 "
    "is the same take without audio, which then comes from the wav of modality 03. Every take is one input."
)
LABELLED = True
OWNERS_COUNT = 1_440
LAYOUT = "Actor_01/01-01-03-01-01-01-01.mp4, or 02-01-....mp4 with 03-01-....wav beside"
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_STEM = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Each take of speech once. Raises UserError when no actor's folder is there."""
    listing = Listing("ravdess", root, skipped_inputs)
    actors = list(listing.entries("", r"Actor_\d\d", "folder of an actor"))
    if not actors:
        raise UserError(f"--source ravdess={root}: no Actor_01 and so on in it")
    for actor in actors:
        takes: dict[str, dict[str, ListedFile]] = {}
        for one in listing.entries(actor.path, rf"{_STEM.pattern}\.(mp4|wav)", "take (seven fields)"):
            modality, channel = one.name[:2], one.name[3:5]
            if channel == "02":
                listing.note("excluded", one.path, "song")
            else:
                takes.setdefault(one.stem[3:], {})[modality] = one
        for take, files in sorted(takes.items()):
            yield from _take(listing, take, files)


def _take(listing: Listing, take: str, files: dict[str, ListedFile]) -> Iterator[Video]:
    picture = files.get("01") or files.get("02")
    if picture is None:
        listing.note("missing", files["03"].path, "sound without a picture")
        return
    if "01" in files and "02" in files:
        listing.note("duplicate", files["02"].path, "the same take as its twin 01, without sound")
    sound = None if "01" in files else files.get("03")
    if "01" not in files and sound is None:
        listing.note("missing", picture.path, "a picture without sound: neither 01 nor 03 is here")
    _, emotion, intensity, statement, repetition, actor = take.split("-")
    values = {"emotion": LABELS[int(emotion) - 1], "intensity": intensity, "statement": statement}
    yield Video(
        source="ravdess",
        video_id=take,
        group_id=take,
        **picture.file,
        sound_path=sound.path if sound else None,
        speaker=actor,
        language="en",
        labels=Labels(values=values | {"repetition": repetition}, subject=actor),
    )
