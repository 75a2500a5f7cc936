"""CREMA-D: VideoFlash/ACTOR_SENTENCE_EMOTION_LEVEL.flv, sound in AudioWAV/; the label is the intended emotion."""

import re
from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import SkippedInput, Video

NAME = "crema_d"
ABOUT = "CREMA-D: acted sentences; the label is the intended emotion. The audio always comes from AudioWAV/."
LABELLED = True
OWNERS_COUNT = 7_442
LAYOUT = "VideoFlash/1001_DFA_ANG_XX.flv, AudioWAV/1001_DFA_ANG_XX.wav"
LABELS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
_STEM = re.compile(r"(10\d\d)_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX)")
_POINTER = b"version https://git-lfs"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every clip; the sound is always the WAV's (28 films had none). Raises UserError for git-lfs pointers."""
    listing = Listing("crema_d", root, skipped_inputs)
    base = listing.base("CREMA-D", "VideoFlash")
    sounds = listing.by_stem(f"{base}AudioWAV", rf"{_STEM.pattern}\.wav", "sound of a clip")
    clips = listing.by_stem(f"{base}VideoFlash", rf"{_STEM.pattern}\.flv", "clip (ACTOR_SENTENCE_EMOTION_LEVEL.flv)")
    first = next(iter(clips.values()), None)
    if first is not None and first.size_bytes < 1000:
        with open(root / first.path, "rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise UserError(f"--source crema_d={root}: {first.path} is a git-lfs pointer; fetch with git lfs pull")
    for stem, clip in clips.items():
        matched = _STEM.fullmatch(stem)
        assert matched is not None
        actor, _, emotion, level = matched.groups()
        sound = sounds.pop(stem, None)
        if sound is None:
            listing.note("missing", f"{base}AudioWAV/{stem}.wav", "the film's own sound is used")
        yield Video(
            source="crema_d",
            video_id=stem,
            group_id=stem,
            **clip.file,
            sound_path=sound.path if sound else None,
            speaker=actor,
            language="en",
            labels=Labels(values={"emotion": emotion, "level": level}, subject=actor),
        )
    for left in sounds.values():
        listing.note("missing", left.path, "the film of this name is not in VideoFlash/")
