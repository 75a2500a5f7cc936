"""VoxCeleb2: dev/{mp4,aac,txt}/idNNNNN/YOUTUBE_ID/NNNNN.{mp4,m4a,txt}; face crops, one talking face each.

The paper trains on dev alone. The mp4 carries sound, but in some files it is missing or of another length than the
picture: then the sibling in aac/ stands in. txt/ holds the owners' face track in the YouTube film.
"""

from collections.abc import Iterator
from pathlib import Path

from avf_shards.schema.labels import Origin

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import SkippedInput, Video
from avf_curation.sources.youtube import FILM

NAME = "voxceleb2"
ABOUT = (
    "VoxCeleb2: face crops of one talking person each, cut from YouTube videos. The paper trains on the dev "
    "split alone. Where an mp4 has no sound or sound of another length, the audio file in aac/ is used. txt/ "
    "holds the owners' face track."
)
LABELLED = False
OWNERS_COUNT = 1_092_009
LAYOUT = "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4, dev/aac/.../00001.m4a, dev/txt/.../00001.txt (aac and txt may lack)"
_SPEAKER = r"id\d{5}"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """The clips of dev, or of `root` itself where it is one split. Raises UserError for another layout."""
    listing = Listing("voxceleb2", root, skipped_inputs)
    base = listing.base("dev", "mp4")
    if base and listing.has("test"):
        listing.note("excluded", "test", "the test split; to read it name it as the source's folder")
    for speaker in listing.entries(f"{base}mp4", _SPEAKER, "speaker (id and five digits)"):
        for film in listing.entries(speaker.path, FILM, "YouTube id (11 characters)"):
            yield from _film(listing, base, speaker.name, film)
    yield from _without_picture(listing, base)


def _film(listing: Listing, base: str, speaker: str, film: ListedFile) -> Iterator[Video]:
    group = f"{speaker}/{film.name}"
    sounds = listing.by_stem(f"{base}aac/{group}", r"\d{5}\.(m4a|wav)", "sound file")
    tracks = listing.by_stem(f"{base}txt/{group}", r"\d{5}\.txt", "face track")
    clips = listing.by_stem(film.path, r"\d{5}\.mp4", "clip (five digits, mp4)")
    for stem, clip in clips.items():
        sound, track = sounds.pop(stem, None), tracks.pop(stem, None)
        yield Video(
            source=listing.source,
            video_id=f"{group}/{stem}",
            group_id=group,
            **clip.file,
            sound_path=sound.path if sound else None,
            own_sound_first=sound is not None,
            boxes_path=track.path if track else None,
            speaker=speaker,
            origin=Origin(id=film.name),
        )
    for left in (*sounds.values(), *tracks.values()):
        listing.note("missing", left.path, "the clip of this name is not in mp4/")


def _without_picture(listing: Listing, base: str) -> Iterator[Video]:
    """Notes what aac/ has for speakers and films that mp4/ lacks; yields nothing."""
    if listing.has(f"{base}aac"):
        for speaker in listing.entries(f"{base}aac", _SPEAKER, "speaker (id and five digits)"):
            for film in listing.entries(speaker.path, FILM, "YouTube id (11 characters)"):
                if not listing.has(f"{base}mp4/{speaker.name}/{film.name}"):
                    listing.note("missing", film.path, "sound without clips: mp4/ has no such folder")
    yield from ()
