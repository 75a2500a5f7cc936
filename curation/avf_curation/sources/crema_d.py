"""CREMA-D: VideoFlash/ACTOR_SENTENCE_EMOTION_LEVEL.flv, audio in AudioWAV/; the label is the intended emotion."""

import re
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import open_plain

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video

NAME = "crema_d"
ABOUT = "CREMA-D: acted sentences; the label is the intended emotion. The audio always comes from AudioWAV/."
LABELLED = True
OWNERS_COUNT = 7_442
LAYOUT = "VideoFlash/1001_DFA_ANG_XX.flv, AudioWAV/1001_DFA_ANG_XX.wav"
LABELS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
_STEM = re.compile(r"(10\d\d)_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX)")
_POINTER = b"version https://git-lfs"
_POINTER_MAX_BYTES = 1000


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every clip; the audio always comes from the WAV, as 28 of the videos have none.

    Raises:
        UserError: the files are git-lfs pointers.
    """
    base = listing.find_base("CREMA-D", "VideoFlash")
    audio_files = listing.files_by_stem(f"{base}AudioWAV", rf"{_STEM.pattern}\.wav", "audio of a clip")
    clips = listing.files_by_stem(
        f"{base}VideoFlash", rf"{_STEM.pattern}\.flv", "clip (ACTOR_SENTENCE_EMOTION_LEVEL.flv)"
    )
    first = next(iter(clips.values()), None)
    if first is not None and first.size_bytes < _POINTER_MAX_BYTES:
        with open(listing.root / first.path, "rb", opener=open_plain) as media:
            if media.read(len(_POINTER)) == _POINTER:
                raise UserError(
                    f"--source {NAME}={listing.root}: {first.path} is a git-lfs pointer; "
                    "fetch the media with git lfs pull"
                )
    for stem, clip in clips.items():
        matched = _STEM.fullmatch(stem)
        assert matched is not None
        actor, _, emotion, level = matched.groups()
        audio = audio_files.pop(stem, None)
        if audio is None:
            listing.skip("missing", f"{base}AudioWAV/{stem}.wav", "no such file: the audio track of the flv is used")
        yield Video(
            source=NAME,
            video_id=stem,
            group_id=stem,
            **clip.stat_fields,
            sound_path=audio.path if audio else None,
            speaker=actor,
            language="en",
            labels=Labels(values={"emotion": emotion, "level": level}, subject=actor),
        )
    for file in audio_files.values():
        listing.skip("missing", file.path, "the clip of this name is not in VideoFlash/")
