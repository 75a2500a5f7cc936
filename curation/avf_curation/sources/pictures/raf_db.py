"""RAF-DB, basic emotions: EmoLabel/list_patition_label.txt (the owners' spelling) and Image/aligned/."""

from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.format.picture_record import Subset
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import read_text

from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.label_maps import RAF_DB, name_expression
from avf_curation.sources.pictures.types import Picture

NAME = "raf_db"
ABOUT = "RAF-DB, basic emotions: pictures with one of seven expressions; aligned to 100 x 100 pixels, or as they were."
LABELLED = True
OWNERS_COUNT = 15_339
LAYOUT = "EmoLabel/list_patition_label.txt, Image/aligned/train_00001_aligned.jpg (or Image/original/train_00001.jpg)"
_LIST = "EmoLabel/list_patition_label.txt"
_SUBSETS: dict[str, Subset] = {"train": "train", "test": "test"}


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture of the list. Raises UserError where there is no list."""
    base = listing.find_base("basic", "EmoLabel")
    if not listing.has_file(f"{base}{_LIST}"):
        raise UserError(f"--source {listing.source}={listing.root}: there is no {base}{_LIST}")
    name = r"(train|test)_\d+"
    files = listing.files_by_stem(f"{base}Image/aligned", rf"{name}_aligned\.jpg", "aligned picture")
    files = {stem.removesuffix("_aligned"): file for stem, file in files.items()}
    if not files:
        files = listing.files_by_stem(f"{base}Image/original", rf"{name}\.jpg", "picture")
    listed: dict[str, int] = {}
    lines = read_text(listing.locate(f"{base}{_LIST}"), "utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        where, fields = f"{base}{_LIST}:{number}", line.split()
        if not fields:
            continue
        stem = fields[0].removesuffix(".jpg")
        if len(fields) != 2 or fields[1] not in map(str, RAF_DB):
            listing.skip("bad_row", where, f"{line[:60]!r} is no name and number from 1 to {max(RAF_DB)}")
        elif stem in listed:
            listing.skip("duplicate", where, f"{stem} was listed before, in line {listed[stem]}")
        elif stem not in files:
            listing.skip("missing", where, f"no picture {stem} in Image/aligned or Image/original")
            listed[stem] = number
        else:
            listed[stem] = number
            yield Picture(
                picture_id=stem,
                **files[stem].stat_fields,
                subset=_SUBSETS[stem.partition("_")[0]],
                labels=Labels(values=name_expression(RAF_DB, int(fields[1]))),
            )
    for stem in sorted(files.keys() - listed.keys()):
        listing.skip("unlisted", files[stem].path, f"{_LIST} has no such line")
