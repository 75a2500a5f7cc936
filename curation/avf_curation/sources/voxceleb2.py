"""VoxCeleb2: dev/{mp4,aac,txt}/idNNNNN/YOUTUBE_ID/NNNNN.{mp4,m4a,txt}; face crops of one talking person each.

The paper trains on dev alone. The mp4 carries audio, but in some files the audio is missing or of another length than
the frames: then the file of the same name in aac/ is used. txt/ holds the owners' face track in the YouTube video.
"""

from collections.abc import Iterator

from avf_shards.schema.labels import Origin

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video
from avf_curation.sources.youtube import YOUTUBE_ID

NAME = "voxceleb2"
ABOUT = (
    "VoxCeleb2: face crops of one talking person each, cut from YouTube videos. The paper trains on the dev "
    "split alone. Where an mp4 has no audio or audio of another length, the audio file in aac/ is used. txt/ "
    "holds the owners' face track."
)
LABELLED = False
OWNERS_COUNT = 1_092_009
LAYOUT = "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4, dev/aac/.../00001.m4a, dev/txt/.../00001.txt (aac and txt may lack)"
SPEAKER = r"id\d{5}"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips of the dev split, or of the source's folder where this is a split.

    Raises:
        UserError: there is no folder mp4/.
    """
    base = listing.find_base("dev", "mp4")
    if base and listing.has_folder("test"):
        listing.skip("excluded", "test", "the test split; to read it, give test/ as the source's folder")
    for speaker in listing.list_entries(f"{base}mp4", SPEAKER, "speaker (id and five digits)"):
        for youtube_folder in listing.list_entries(speaker.path, YOUTUBE_ID, "YouTube id (11 characters)"):
            yield from _list_clips(listing, base, speaker.name, youtube_folder)
    _note_audio_without_clips(listing, base)


def _list_clips(listing: Listing, base: str, speaker: str, youtube_folder: ListedFile) -> Iterator[Video]:
    group = f"{speaker}/{youtube_folder.name}"
    audio_files = listing.files_by_stem(f"{base}aac/{group}", r"\d{5}\.(m4a|wav)", "audio file")
    tracks = listing.files_by_stem(f"{base}txt/{group}", r"\d{5}\.txt", "face track")
    clips = listing.files_by_stem(youtube_folder.path, r"\d{5}\.mp4", "clip (five digits, mp4)")
    for stem, clip in clips.items():
        audio, track = audio_files.pop(stem, None), tracks.pop(stem, None)
        yield Video(
            source=listing.source,
            video_id=f"{group}/{stem}",
            group_id=group,
            **clip.stat_fields,
            sound_path=audio.path if audio else None,
            own_sound_first=audio is not None,
            boxes_path=track.path if track else None,
            speaker=speaker,
            origin=Origin(id=youtube_folder.name),
        )
    for file in (*audio_files.values(), *tracks.values()):
        listing.skip("missing", file.path, "the clip of this name is not in mp4/")


def _note_audio_without_clips(listing: Listing, base: str) -> None:
    """Note the folders of aac/ that mp4/ lacks."""
    if listing.has_folder(f"{base}aac"):
        for speaker in listing.list_entries(f"{base}aac", SPEAKER, "speaker (id and five digits)"):
            for youtube_folder in listing.list_entries(speaker.path, YOUTUBE_ID, "YouTube id (11 characters)"):
                if not listing.has_folder(f"{base}mp4/{speaker.name}/{youtube_folder.name}"):
                    listing.skip("missing", youtube_folder.path, "audio without clips: mp4/ has no such folder")
