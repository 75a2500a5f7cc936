"""A folder of a user's own pictures: each JPEG, PNG, BMP and TIFF below it, with labels where a labels.csv names them.

    file,identity,set,expression,valence,arousal,AU1,AU12
    anna/smile.jpg,anna,train,Happiness,0.6,0.3,0,1

`file` is relative to the folder, and every other column is optional; one that is not named above is a label too. An
empty cell is no label. An expression of ABAW is one whatever its letters' case.
"""

import difflib
import os
import re
from collections.abc import Iterator

from avf_shards.format.picture_record import Subset
from avf_shards.schema.labels import Labels

from avf_curation.sources.file_table import TABLE, read_file_table
from avf_curation.sources.frame_annotations import EXPRESSIONS
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.owners_numbers import parse_number
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.types import utf8_name

NAME = "pictures"
ABOUT = "A folder of your own face pictures, with or without a labels.csv. No corpus: any folder is laid out like this."
LABELLED = True
OWNERS_COUNT = None
LAYOUT = "any/folder/a.jpg, and a labels.csv (file,identity,set,expression,valence,arousal,AU1,...) or none"
_PICTURE = re.compile(r".+\.(jpg|jpeg|png|bmp|tif|tiff)", re.IGNORECASE | re.DOTALL)
_SUBSETS: tuple[Subset, ...] = ("train", "validation", "test")
_ABAW = {name.lower(): name for name in EXPRESSIONS}
_MIN_SIMILARITY = 0.8  # from which an expression is taken for a misspelt one of ABAW: "surprised" has 0.94
_UNIT = re.compile(r"AU[0-9]{1,2}")
_NO_LABELS = ("file", "identity", "set")


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture below the folder. Raises UserError for a labels.csv that is no table of files."""
    table = read_file_table(listing) if listing.has_file(TABLE) else None
    rows = dict(table.rows) if table is not None else {}
    for file in _walk(listing):
        name = utf8_name(file.path)
        row = rows.pop(name, None)
        if table is not None and row is None:
            listing.skip("unlisted", file.path, f"{TABLE} has no such row: the picture has no labels")
        where, cells = (row.where, row.cells) if row is not None else (TABLE, {})
        yield Picture(
            picture_id=name,
            **file.stat_fields,
            identity=cells.get("identity") or None,
            subset=_parse_subset(listing, where, cells.get("set", "")),
            labels=_parse_labels(listing, where, cells),
        )
    if table is not None:
        table.note_absent(listing, list(rows), "picture")


def _walk(listing: Listing) -> Iterator[ListedFile]:
    """Yield the pictures, folder by folder in the order of names; a folder that links lead into is read once."""
    stack, seen = [""], {_identify(listing, "")}
    while stack:
        folders = []
        for entry in listing.list_entries(stack.pop(), r"(?s)(?!\.).+", "picture"):
            if entry.is_folder:
                identity = _identify(listing, entry.path)
                if identity in seen:
                    listing.skip("unexpected", entry.path, "leads to a folder that is read already")
                else:
                    seen.add(identity)
                    folders.append(entry.path)
            elif _PICTURE.fullmatch(entry.name):
                yield entry
            elif entry.path != TABLE:
                listing.skip("unexpected", entry.path, "is no picture by its name (.jpg, .png, .bmp, .tif)")
        stack.extend(reversed(folders))


def _identify(listing: Listing, folder: str) -> tuple[int, int]:
    try:
        stat = os.stat(listing.root / folder)
    except OSError:  # listing it names the error
        return 0, 0
    return stat.st_dev, stat.st_ino


def _parse_subset(listing: Listing, where: str, text: str) -> Subset | None:
    for subset in _SUBSETS:
        if text.lower() == subset:
            return subset
    if text:
        listing.skip("bad_row", where, f"set {text[:40]!r} is none of {', '.join(_SUBSETS)}: the picture is in none")
    return None


def _parse_labels(listing: Listing, where: str, row: dict[str, str]) -> Labels | None:
    """Return the labels of a row; a value that cannot be one is noted, and the picture keeps the others."""
    values = {}
    for name, text in row.items():
        if not text or name in _NO_LABELS:
            continue
        fault = _describe_fault(name, text)
        if fault is None:
            values[name] = text
        else:
            listing.skip("bad_row", where, f"{name} {text[:40]!r} is {fault}: the picture has none")
    expression = values.get("expression", "")
    abaw = _ABAW.get(expression.lower())
    if abaw is not None:
        values.setdefault("abaw_expression", abaw)
    elif near := difflib.get_close_matches(expression.lower(), _ABAW, n=1, cutoff=_MIN_SIMILARITY):
        listing.skip(
            "bad_row",
            where,
            f"expression {expression[:40]!r} is none of ABAW's, as {_ABAW[near[0]]!r} is: the picture has none of them",
        )
    return Labels(values=values) if values else None


def _describe_fault(name: str, text: str) -> str | None:
    """Return why a cell is no label, or None where it is one."""
    if _UNIT.fullmatch(name):
        return None if text in ("0", "1") else "neither 0 nor 1"
    if name not in ("valence", "arousal"):
        return None
    if parse_number(text) is None:
        return "no number"
    return "not from -1 to 1" if parse_number(text, -1, 1) is None else None
