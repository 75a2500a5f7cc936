"""Interviews: PERSON/SESSION_TAKE.mp4; the label is the mood that the interviewer noted, in moods.csv."""

import csv
from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video
from avf_shards.schema.labels import Labels

NAME = "interviews"
ABOUT = "Interviews of our laboratory; the label is the mood that the interviewer noted."
LABELLED = True
OWNERS_COUNT = None  # clips as the owners count them; None where they publish no number
LAYOUT = "moods.csv, anna/1_03.mp4"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield each take. Takes of one session are one group, which is never divided over training and test."""
    moods = _read_moods(listing)
    for person in listing.list_entries("", r"[a-z]+|moods\.csv", "folder of a person, or moods.csv"):
        if not person.is_folder:
            continue
        for file in listing.list_entries(person.path, r"\d+_\d+\.mp4", "take (SESSION_TAKE.mp4)"):
            mood = moods.pop(file.path, None)
            if mood is None:
                listing.skip("unlisted", file.path, "moods.csv does not name it")
                continue
            session = file.stem.split("_")[0]
            yield Video(
                source=NAME,
                video_id=f"{person.name}/{file.stem}",
                group_id=f"{person.name}/{session}",
                **file.stat_fields,
                speaker=person.name,
                labels=Labels(values={"mood": mood}, subject=person.name, session=session),
            )
    for path in moods:
        listing.skip("missing", path, "moods.csv names it, and there is no such file")


def _read_moods(listing: Listing) -> dict[str, str]:
    """Return path -> mood of moods.csv."""
    with open(listing.locate("moods.csv"), newline="", encoding="utf-8") as file:
        return {row["file"]: row["mood"] for row in csv.DictReader(file)}
