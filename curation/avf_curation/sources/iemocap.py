"""IEMOCAP: a turn is a time range of a dialogue's video and the half of its image that shows the speaker.

The actor with the markers (sixth letter of the dialogue's name) sits on the left; the turn's letter names the speaker.
"""

import re
from collections.abc import Iterator

from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import read_text

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.owners_numbers import is_part_of_recording
from avf_curation.sources.types import Side, Video

NAME = "iemocap"
ABOUT = (
    "IEMOCAP: a turn is a time range of a dialogue's video and the half of its image that shows the speaker. "
    "The actor who wears the markers (sixth letter of the dialogue's name) sits on the left; the turn's "
    "letter names the speaker."
)
LABELLED = True
OWNERS_COUNT = 10_039
LAYOUT = "Session1/dialog/{EmoEvaluation/Ses01F_impro01.txt,avi/DivX/Ses01F_impro01.avi}, Session1/sentences/wav/..."
_DIALOGUE = r"Ses0[1-5][FM]_(?:impro\d\d|script\d\d_\d)[a-z]?"
_LINE = re.compile(rf"\[(\d+\.\d+) - (\d+\.\d+)\]\t(({_DIALOGUE})_([FM])\d{{3}})\t(\w{{3}})\t\[([\d., ]+)\]")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every labelled turn of the dialogues that have a video.

    Raises:
        UserError: there is no folder Session1/.
    """
    base = listing.find_base("IEMOCAP_full_release", "Session1")
    for session in range(1, 6):
        dialog = f"{base}Session{session}/dialog"
        if not listing.has_folder(dialog):
            listing.skip("missing", dialog, "no such session")
            continue
        videos = listing.files_by_stem(f"{dialog}/avi/DivX", rf"{_DIALOGUE}\.avi", "video of a dialogue")
        label_files = listing.files_by_stem(f"{dialog}/EmoEvaluation", rf"{_DIALOGUE}\.txt", "labels of a dialogue")
        for name, table in label_files.items():
            video = videos.get(name)
            if video is None:
                listing.skip("missing", table.path, f"there is no {name}.avi")
                continue
            yield from _read_turns(listing, table, video, f"{base}Session{session}", str(session))


def _read_turns(listing: Listing, table: ListedFile, video: ListedFile, session: str, number: str) -> Iterator[Video]:
    text = read_text(listing.locate(table.path), "utf-8", "replace")
    for line_number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("["):
            continue  # a heading, or the answer of a single rater
        matched = _LINE.fullmatch(line.strip())
        if matched is None:
            listing.skip(
                "bad_row", f"{table.path}: line {line_number}", "is no turn with times, name, emotion and [V, A, D]"
            )
            continue
        start_s, stop_s = float(matched[1]), float(matched[2])
        if not is_part_of_recording(start_s, stop_s):
            listing.skip("bad_row", f"{table.path}: line {line_number}", f"no range: from {start_s:g} to {stop_s:g} s")
            continue
        turn, dialogue, gender, emotion = matched[3], matched[4], matched[5], matched[6]
        side: Side = "left" if gender == dialogue[5] else "right"
        axes = dict(zip(("valence", "activation", "dominance"), matched[7].replace(" ", "").split(","), strict=False))
        speaker = f"{number}{gender}"
        yield Video(
            source=NAME,
            video_id=turn,
            group_id=dialogue,
            **video.stat_fields,
            start_s=start_s,
            stop_s=stop_s,
            speaker=speaker,
            language="en",
            labels=Labels(values={"emotion": emotion, **axes}, subject=speaker, session=number),
            side=side,
        )
