"""AffectNet: the full release with training.csv and validation.csv, or the release of 2021 with a folder for each set.

Manually_Annotated_Images/12/0a1b.jpg, training.csv, validation.csv
train_set/images/7.jpg, train_set/annotations/7_{exp,val,aro,lnd}.npy, val_set/
"""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.picture_record import Subset
from avf_shards.schema.labels import Box4, Labels
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.owners_numbers import parse_box, parse_number
from avf_curation.sources.pictures.label_maps import AFFECTNET, name_expression
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.spreadsheet import open_csv

NAME = "affectnet"
ABOUT = "AffectNet: pictures with one of eight expressions (or none, uncertain, no face), valence and arousal."
LABELLED = True
OWNERS_COUNT = 420_299
LAYOUT = (
    "Manually_Annotated_Images/12/0a1b.jpg with training.csv, validation.csv; or {train_set,val_set}/images/7.jpg "
    "with annotations/7_{exp,val,aro,lnd}.npy"
)
_IMAGES = "Manually_Annotated_Images"
#: A picture in both is of the first: what may be validated on is not trained on.
_TABLES: tuple[tuple[str, Subset], ...] = (("validation.csv", "validation"), ("training.csv", "train"))
_FOLDERS: tuple[tuple[str, Subset], ...] = (("train_set", "train"), ("val_set", "validation"))
_COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
_PICTURE = r"(?i)(?!\.).+\.(jpg|jpeg|png|bmp|tif|tiff)"
_MISSING = -2.0  # of valence and arousal
_MAX_NPY_BYTES = 4096  # of a single number or text
_NPY_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|=]?[USif][0-9]{1,3})', 'fortran_order': (?:True|False), "
    rb"'shape': \((?:1,)?\), \} *\n",
    re.DOTALL,
)


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture that the owners annotated. Raises UserError where neither release is there."""
    for base in ("", "AffectNet/"):
        if listing.has_folder(f"{base}{_IMAGES}"):
            yield from _list_full_release(listing, base)
            return
        if any(listing.has_folder(f"{base}{folder}/images") for folder, _ in _FOLDERS):
            for folder, subset in _FOLDERS:
                yield from _list_set(listing, f"{base}{folder}", subset)
            return
    raise UserError(
        f"--source {listing.source}={listing.root}: there is neither {_IMAGES}/ nor train_set/images/ in it; "
        "`avf-curate sources ls` shows the owners' layout"
    )


def _list_full_release(listing: Listing, base: str) -> Iterator[Picture]:
    files: dict[str, ListedFile] = {}
    for folder in listing.list_entries(f"{base}{_IMAGES}", r"\d+", "folder (a number)"):
        if folder.is_folder:
            for file in listing.list_entries(folder.path, _PICTURE, "picture"):
                files[f"{folder.name}/{file.name}"] = file
    listed: dict[str, str] = {}
    named: set[str] = set()  # by rows that cannot be used
    for table, subset in _TABLES:
        path = f"{base}{table}"
        if not listing.has_file(path):
            listing.skip("missing", path, "a table of the owners is not there")
            continue
        for number, fields in _read_table(listing, path):
            where = f"{path}:{number}"
            picture = _parse_row(listing, where, fields, subset, files)
            if picture is None:
                named.add(_name_picture(fields))
                continue
            if picture.picture_id in listed:
                first = listed[picture.picture_id]
                reason = f"{picture.picture_id} is in the set {subset} here, and listed in {first}, which counts"
                listing.skip("duplicate", where, reason)
                continue
            listed[picture.picture_id] = where
            yield picture
    for name in sorted(files.keys() - listed.keys() - named):
        listing.skip("unlisted", files[name].path, "in neither table")


def _read_table(listing: Listing, path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the fields of each row; validation.csv of some copies has no header."""
    where = f"--source {listing.source}={listing.root}"
    with open_csv(listing.locate(path), where) as file:
        names: tuple[str, ...] = _COLUMNS
        for number, cells in enumerate(csv.reader(file), 1):
            if number == 1 and cells and cells[0].strip("\ufeff ") == _COLUMNS[0]:
                names = tuple(cell.strip("\ufeff ") for cell in cells)
                if not set(_COLUMNS) - {"facial_landmarks"} <= set(names):
                    raise UserError(f"{where}: {path} must have the columns {', '.join(_COLUMNS)}")
            elif len(cells) == len(names):
                yield number, dict(zip(names, cells, strict=True))
            elif cells:
                listing.skip("bad_row", f"{path}:{number}", f"{len(cells)} fields, and not {len(names)}")


def _name_picture(fields: dict[str, str]) -> str:
    return str(PurePosixPath(fields["subDirectory_filePath"].strip()))


def _parse_row(
    listing: Listing, where: str, fields: dict[str, str], subset: Subset, files: dict[str, ListedFile]
) -> Picture | None:
    name = _name_picture(fields)
    file = files.get(name)
    if file is None:
        listing.skip("missing", where, f"no picture {name[:120]!r}")
        return None
    try:
        number, valence, arousal = int(fields["expression"]), float(fields["valence"]), float(fields["arousal"])
    except ValueError:
        listing.skip("bad_row", where, "expression, valence or arousal is no number")
        return None
    values = _make_values(listing, where, number, valence, arousal)
    if values is None:
        return None
    return Picture(
        picture_id=name,
        **file.stat_fields,
        subset=subset,
        box_px=_parse_box(listing, where, fields),
        labels=Labels(values=values),
    )


def _parse_box(listing: Listing, where: str, fields: dict[str, str]) -> Box4 | None:
    """Return the owners' face; None where it is none, as "NULL" in rows of pictures without a face."""
    left, top, width, height = (parse_number(fields[name]) for name in _COLUMNS[1:5])
    if left is None or top is None or width is None or height is None:
        return None
    box = parse_box((left, top, left + width, top + height))
    if box is None:
        listing.skip("bad_row", where, "its face is no part of a picture: every face that is seen counts")
    return box


def _make_values(listing: Listing, where: str, number: int, valence: float, arousal: float) -> dict[str, str] | None:
    if number not in AFFECTNET:
        listing.skip("bad_row", where, f"expression {number} is none of 0 to {max(AFFECTNET)}")
        return None
    values = name_expression(AFFECTNET, number)
    for name, value in (("valence", valence), ("arousal", arousal)):
        if -1 <= value <= 1:
            values[name] = f"{value:g}"
        elif value != _MISSING:
            listing.skip("bad_row", where, f"{name} {value:g} is neither -2 nor from -1 to 1: the picture has none")
    return values


def _list_set(listing: Listing, folder: str, subset: Subset) -> Iterator[Picture]:
    files = listing.files_by_stem(f"{folder}/images", r"\d+\.(jpg|png)", "picture (a number)")
    if not files:
        listing.skip("missing", f"{folder}/images", "no folder of pictures, or an empty one")
    for stem, file in sorted(files.items(), key=lambda item: int(item[0])):
        where = f"{folder}/annotations/{stem}"
        numbers = [_read_number(listing, f"{where}_{name}.npy") for name in ("exp", "val", "aro")]
        expression, valence, arousal = numbers
        if expression is None or valence is None or arousal is None:
            continue
        values = _make_values(listing, f"{where}_exp.npy", int(expression), valence, arousal)
        if values is not None:
            yield Picture(
                picture_id=f"{subset}/{stem}",
                **file.stat_fields,
                subset=subset,
                labels=Labels(values=values),
            )


def _read_number(listing: Listing, path: str) -> float | None:
    """Return the number in a .npy file that holds one number or text; note a file that does not, and return None."""
    try:
        data = read_bytes(listing.locate(path), _MAX_NPY_BYTES)
    except FileNotFoundError:
        listing.skip("missing", path, "a picture without this annotation")
        return None
    except OSError as error:
        raise_machine_fault(error)
        listing.skip_unreadable(path, error)
        return None
    try:
        return _parse_npy(data)
    except ValueError as error:
        listing.skip("bad_row", path, f"holds no number ({error})")
        return None


def _parse_npy(data: bytes) -> float:
    """Return the only number, or text of a number, in the bytes of a .npy file; raise ValueError for any other.

    The head is compared with the only form that such a file has, and not evaluated, as NumPy's reader would.
    """
    head = _NPY_HEAD.match(data)
    if head is None:
        raise ValueError("no .npy file of one number or text")
    try:
        kind = np.dtype(head[1].decode())
    except TypeError:
        raise ValueError(f"no type {head[1].decode()}") from None
    content = data[head.end() :]
    if len(content) != kind.itemsize:
        raise ValueError("it is cut off")
    number = float(np.frombuffer(content, kind)[0])
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
