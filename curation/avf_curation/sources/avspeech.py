"""AVSpeech: two CSVs without a head, `youtube_id,start_s,end_s,x,y`; the media are what each user downloaded.

A row's file is ID_SSS.SSSSSS-EEE.EEEEEE.mp4 (cut by the common script, zeros in front), or ID_N.mp4 (cut by others,
the N-th row of the film), or ID.mp4 (the whole film, of which the row is a range). Everything else is listed.
"""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import SkippedInput, Video
from avf_curation.sources.youtube import is_video_id

NAME = "avspeech"
ABOUT = (
    "AVSpeech: two CSV files without a header, `youtube_id,start_s,end_s,x,y`; every user downloads the "
    "media. A row's file is a cut clip (ID_START-END.mp4), a numbered clip (ID_N.mp4) or the complete video "
    "(ID.mp4), of which the row is a range."
)
LABELLED = False
OWNERS_COUNT = None
LAYOUT = "avspeech_train.csv, avspeech_test.csv; media anywhere below: ID_030.030000-036.503133.mp4, ID_0.mp4 or ID.mp4"
LISTS = ("avspeech_train.csv", "avspeech_test.csv")
_EXTENSION = r"\.(?:mp4|mkv|webm|mov|avi|m4v)"
_CUT = re.compile(rf"(?P<film>[A-Za-z0-9_-]{{11}})_(?P<start>\d+\.\d+)-(?P<stop>\d+\.\d+){_EXTENSION}")
_NUMBERED = re.compile(rf"(?P<film>[A-Za-z0-9_-]{{11}})_(?P<number>\d+){_EXTENSION}")
_WHOLE = re.compile(rf"(?P<film>[A-Za-z0-9_-]{{11}}){_EXTENSION}")

_Range = tuple[str, str]  # start and end as the CSV's numbers with six decimals


@dataclass(kw_only=True)
class _Film:
    """What the lists and the disk have of one YouTube id."""

    rows: dict[_Range, tuple[float, float]] = field(default_factory=dict)
    cut: dict[_Range, ListedFile] = field(default_factory=dict)
    numbered: dict[int, ListedFile] = field(default_factory=dict)
    whole: ListedFile | None = None


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """The rows whose media are there. Raises UserError without one of the owners' lists."""
    listing = Listing("avspeech", root, skipped_inputs)
    lists = [name for name in LISTS if (root / name).is_file()]
    if not lists:
        raise UserError(f"--source avspeech={root}: neither {' nor '.join(LISTS)} is there; they are the corpus")
    films: dict[str, _Film] = {}
    for name in lists:
        _rows(listing, name, films)
    _media(listing, films)
    for name in sorted(films):
        yield from _film(listing, name, films[name])


def _rows(listing: Listing, name: str, films: dict[str, _Film]) -> None:
    with open(listing.root / name, encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            place = f"{name}:{number}"
            if len(row) == 6:  # some copies put a serial number in front
                row = row[1:]
            if len(row) != 5:
                listing.note("bad_row", place, f"{len(row)} columns instead of 5")
                continue
            film = row[0].strip()
            try:
                start, stop, x, y = (float(value) for value in row[1:])
            except ValueError:
                if number > 1:  # the first line may be a head that somebody added
                    listing.note("bad_row", place, "start, end, x or y is not a number")
                continue
            fault = _fault(film, start, stop, x, y)
            if fault:
                listing.note("bad_row", place, fault)
                continue
            known = films.setdefault(film, _Film()).rows
            if (key := _key(start, stop)) in known:
                listing.note("duplicate", place, f"{film} from {key[0]} to {key[1]} s was listed before")
            else:
                known[key] = (x, y)


def _fault(film: str, start: float, stop: float, x: float, y: float) -> str | None:
    if not is_video_id(film):
        return "the first column is no YouTube id (11 characters)"
    if not all(math.isfinite(value) for value in (start, stop, x, y)) or not 0 <= start < stop:
        return f"no range: from {start:g} to {stop:g} s"
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return f"the face's centre {x:g}, {y:g} lies outside the picture"
    return None


def _key(start: float, stop: float) -> _Range:
    return f"{start:.6f}", f"{stop:.6f}"


def _media(listing: Listing, films: dict[str, _Film]) -> None:
    """Put every media file below the root to its film; what belongs to no row is noted."""
    stack = [""]
    while stack:
        below = stack.pop()
        for one in listing.entries(below, r"(?!\.).*", "media file"):
            if one.folder:
                stack.append(one.path)
            elif one.name in LISTS and not below:
                continue
            elif found := _CUT.fullmatch(one.name):
                key = _key(float(found["start"]), float(found["stop"]))
                _put(listing, films, found["film"], one, key)
            elif found := _NUMBERED.fullmatch(one.name):
                _put(listing, films, found["film"], one, int(found["number"]))
            elif found := _WHOLE.fullmatch(one.name):
                _put(listing, films, found["film"], one, None)
            else:
                listing.note("unexpected", one.path, "its name is none of the known ways to name a download")


def _put(listing: Listing, films: dict[str, _Film], name: str, one: ListedFile, what: _Range | int | None) -> None:
    film = films.get(name)
    if film is None:
        listing.note("unlisted", one.path, f"no row of the lists has the id {name}")
        return
    if what is None:
        before, film.whole = film.whole, film.whole or one
    elif isinstance(what, int):
        before = film.numbered.get(what)
        film.numbered.setdefault(what, one)
    else:
        if what not in film.rows:
            listing.note("unlisted", one.path, f"no row of {name} goes from {what[0]} to {what[1]} s")
            return
        before = film.cut.get(what)
        film.cut.setdefault(what, one)
    if before is not None:
        listing.note("duplicate", one.path, f"the same segment as {before.path}")


def _film(listing: Listing, name: str, film: _Film) -> Iterator[Video]:
    ordered = sorted(film.rows, key=lambda key: (float(key[0]), float(key[1])))
    for number, key in enumerate(ordered):
        start, stop = float(key[0]), float(key[1])
        video = f"{name}_{key[0]}-{key[1]}"
        whole = False
        one = film.cut.get(key) or film.numbered.get(number)
        if one is None:
            one, whole = film.whole, True
        if one is None:
            why = "other rows of this film are" if film.cut or film.numbered else "nothing of this film is: not"
            listing.note("missing", video, f"{why} here" if film.cut or film.numbered else f"{why} downloaded, or gone")
            continue
        x, y = film.rows[key]
        yield Video(
            source=listing.source,
            video_id=video,
            group_id=name,
            **one.file,
            start_s=start if whole else None,
            stop_s=stop if whole else None,
            origin=Origin(id=name, start_s=start, stop_s=stop, box=(x, y, x, y)),
        )
    for number, one in sorted(film.numbered.items()):
        if number >= len(ordered):
            listing.note("unlisted", one.path, f"{name} has {len(ordered)} rows")
