"""CAS(ME)^3, part A: Part_A_ME_clip/frame/spNO.10_a_116/116.jpg, named by subject, film and onset."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import LabelledSequence, image_sequence_input, read_coding_table
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import SkippedInput, Video

NAME = "casme3"
ABOUT = (
    "CAS(ME)^3, part A: micro-expressions as folders of images, 30 per second, named by subject, video and "
    "onset; without sound."
)
LABELLED = True
OWNERS_COUNT = 943
LAYOUT = "Part_A_ME_clip/frame/spNO.10_a_116/116.jpg, cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
_TABLE = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
_FRAMES = ("Part_A_ME_clip/frame", "frame", "")


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every row of the table whose clip is there. Raises UserError for another layout."""
    listing = Listing("casme3", root, skipped_inputs)
    table = read_coding_table(listing, (_TABLE, f"annotation/{_TABLE}"))
    base = next(name for name in _FRAMES if not name or listing.has(name))
    prefix = f"{base}/" if base else ""
    there = {one.name.lower(): one.name for one in listing.entries(base, r"(?i)spno\.\d+_\w+_\d+", "clip")}
    for number, row in read_rows(
        table, ("subject", "filename", "onset", "offset", "emotion"), f"--source casme3={root}"
    ):
        onset = parse_integer(row["onset"])
        if onset is None:
            listing.note("bad_row", f"{table.name}: row {number}", f"onset {row['onset']!r} is no number")
            continue
        subject = row["subject"].lower().replace("spno.", "spNO.")  # both cases are in use
        name = f"{row['subject']}_{row['filename']}_{onset}".lower()
        if name not in there:
            listing.note("missing", f"{table.name}: row {number}", f"no clip {subject}_{row['filename']}_{onset}")
            continue
        more = {"action_units": row.get("au", "")}
        path = prefix + there[name]
        made = image_sequence_input(
            listing,
            LabelledSequence(
                folder=path,
                video_id=there[name],
                subject=subject,
                emotion=row["emotion"].lower(),
                pictures_per_s=30,
                more=more,
            ),
        )
        if made is not None:
            yield made
