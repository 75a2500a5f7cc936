"""SAMM: SAMM/006/006_1_2/006_05562.jpg, 200 grey pictures a second, labels in SAMM_Micro_FACS_Codes_v2.xlsx."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.inputs import SetAside, Video
from avf_curation.sources.listing import Listing
from avf_curation.sources.micro import sequence, table_of
from avf_curation.sources.sheet import rows_of, whole

OWNERS_COUNT = 159
LAYOUT = "SAMM/006/006_1_2/006_05562.jpg, SAMM_Micro_FACS_Codes_v2.xlsx"


def read(root: Path, aside: list[SetAside]) -> Iterator[Video]:
    """Every row of the table whose pictures are there. Raises UserError for another layout."""
    listing = Listing("samm", root, aside)
    table = table_of(listing, ("SAMM_Micro_FACS_Codes_v2.xlsx",))
    base = "SAMM/" if listing.has("SAMM") else ""
    needed = ("subject", "filename", "onset frame", "offset frame", "estimated emotion")
    for number, row in rows_of(table, needed, f"--source samm={root}"):
        subject, onset, offset = whole(row["subject"]), whole(row["onset frame"]), whole(row["offset frame"])
        if subject is None or onset is None or offset is None:
            listing.note("bad_row", f"{table.name}: row {number}", "subject, onset or offset is no number")
            continue
        person, take = f"{subject:03d}", row["filename"]
        if offset < onset:
            why = f"offset {offset} before onset {onset}: all of its pictures from there on are taken"
            listing.note("bad_row", f"{table.name}: row {number}", why)
            offset = None
        more = {"action_units": row.get("action units", "")}
        emotion, path = row["estimated emotion"].lower(), f"{base}{person}/{take}"
        made = sequence(listing, path, take, person, emotion, 200, onset, offset, more)
        if made is not None:
            yield made
