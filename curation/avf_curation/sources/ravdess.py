"""RAVDESS: Actor_NN/MM-CC-EE-II-SS-RR-AA.mp4; speech with video and audio, every take once.

Modality 01 has video and audio; 02 is the same take without audio, which then comes from the wav of modality 03.
"""

import re
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

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


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield each take of speech once.

    Raises:
        UserError: there is no folder of an actor.
    """
    actors = list(listing.list_entries("", r"Actor_\d\d", "folder of an actor"))
    if not actors:
        raise UserError(f"--source {NAME}={listing.root}: no folder such as Actor_01 in it")
    for actor in actors:
        takes: dict[str, dict[str, ListedFile]] = {}
        for file in listing.list_entries(actor.path, rf"{_STEM.pattern}\.(mp4|wav)", "take (seven fields)"):
            modality, channel = file.name[:2], file.name[3:5]
            if channel == "02":
                listing.skip("excluded", file.path, "song")
            else:
                takes.setdefault(file.stem[3:], {})[modality] = file
        for take, files in sorted(takes.items()):
            yield from _take_video(listing, take, files)


def _take_video(listing: Listing, take: str, files: dict[str, ListedFile]) -> Iterator[Video]:
    video = files.get("01") or files.get("02")
    if video is None:
        listing.skip("missing", files["03"].path, "audio without video")
        return
    if "01" in files and "02" in files:
        listing.skip("duplicate", files["02"].path, "the same take as modality 01, without audio")
    audio = None if "01" in files else files.get("03")
    if "01" not in files and audio is None:
        listing.skip("missing", video.path, "video without audio: there is neither modality 01 nor 03")
    _, emotion, intensity, statement, repetition, actor = take.split("-")
    values = {"emotion": LABELS[int(emotion) - 1], "intensity": intensity, "statement": statement}
    yield Video(
        source=NAME,
        video_id=take,
        group_id=take,
        **video.stat_fields,
        sound_path=audio.path if audio else None,
        speaker=actor,
        language="en",
        labels=Labels(values=values | {"repetition": repetition}, subject=actor),
    )
