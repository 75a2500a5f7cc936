"""CAS(ME)^3, part A: Part_A_ME_clip/frame/spNO.10_a_116/116.jpg, named by subject, video and onset."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import ImageSequence, find_coding_table, image_sequence_input
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import Video

NAME = "casme3"
ABOUT = (
    "CAS(ME)^3, part A: micro-expressions as folders of images, 30 per second, named by subject, video and "
    "onset; without sound."
)
LABELLED = True
OWNERS_COUNT = 943
LAYOUT = "Part_A_ME_clip/frame/spNO.10_a_116/116.jpg, cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
_TABLE = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
_COLUMNS = ("subject", "filename", "onset", "offset", "emotion")
_IMAGES_PER_S = 30
_FRAME_FOLDERS = ("Part_A_ME_clip/frame", "frame", "")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every row of the table that has a clip.

    Raises:
        UserError: there is no label table.
    """
    table = find_coding_table(listing, (_TABLE, f"annotation/{_TABLE}"))
    base = next(name for name in _FRAME_FOLDERS if not name or listing.has_folder(name))
    # The table and the folders differ in case, so clips are compared in lower case.
    clips = {entry.name.lower(): entry for entry in listing.list_entries(base, r"(?i)spno\.\d+_\w+_\d+", "clip")}
    for number, row in read_rows(table, _COLUMNS, f"--source {NAME}={listing.root}"):
        where = f"{table.name}: row {number}"
        onset = parse_integer(row["onset"])
        if onset is None:
            listing.skip("bad_row", where, f"onset {row['onset']!r} is no number")
            continue
        subject = (
            row["subject"].lower().replace("spno.", "spNO.")
        )  # the table writes one person's id in upper and in lower case
        clip = clips.get(f"{row['subject']}_{row['filename']}_{onset}".lower())
        if clip is None:
            listing.skip("missing", where, f"no clip {subject}_{row['filename']}_{onset}")
            continue
        sequence = ImageSequence(
            folder=clip.path,
            video_id=clip.name,
            subject=subject,
            emotion=row["emotion"].lower(),
            images_per_s=_IMAGES_PER_S,
            other_labels={"action_units": row.get("au", "")},
        )
        video = image_sequence_input(listing, sequence)
        if video is not None:
            yield video
