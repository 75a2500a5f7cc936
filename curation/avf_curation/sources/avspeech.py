"""AVSpeech: two CSV files without a header, `youtube_id,start_s,end_s,x,y`; every user downloads the media.

A row's file is ID_SSS.SSSSSS-EEE.EEEEEE.mp4 (cut by the common script, with leading zeros), or ID_N.mp4 (cut by other
scripts, the N-th row of the video), or ID.mp4 (the complete video, of which the row is a range). All other files are
noted.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.owners_numbers import is_part_of_recording
from avf_curation.sources.spreadsheet import open_csv
from avf_curation.sources.types import Video
from avf_curation.sources.youtube import YOUTUBE_ID, is_youtube_id

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
_CUT = re.compile(rf"(?P<id>{YOUTUBE_ID})_(?P<start>\d+\.\d+)-(?P<stop>\d+\.\d+){_EXTENSION}")
_NUMBERED = re.compile(rf"(?P<id>{YOUTUBE_ID})_(?P<number>\d+){_EXTENSION}")
_COMPLETE = re.compile(rf"(?P<id>{YOUTUBE_ID}){_EXTENSION}")

Range = tuple[str, str]  # start and end in seconds, as text with six decimals, as in the CSV


@dataclass(kw_only=True)
class _DownloadedVideo:
    """Rows and files of one YouTube id."""

    rows: dict[Range, tuple[float, float]] = field(
        default_factory=dict
    )  # range -> centre of the face, in shares of the image
    cut: dict[Range, ListedFile] = field(default_factory=dict)  # files ID_START-END.mp4
    numbered: dict[int, ListedFile] = field(default_factory=dict)  # files ID_N.mp4, by N from 0 on
    complete: ListedFile | None = None  # the file ID.mp4, which holds every row


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the rows that have a media file.

    Raises:
        UserError: the folder has neither of the owners' lists.
    """
    lists = [name for name in LISTS if listing.has_file(name)]
    if not lists:
        raise UserError(
            f"--source {NAME}={listing.root}: neither {' nor '.join(LISTS)} is in it; the corpus is these lists"
        )
    videos: dict[str, _DownloadedVideo] = {}
    for name in lists:
        _read_list(listing, name, f"--source {listing.source}={listing.root}", videos)
    _find_media(listing, videos)
    for name in sorted(videos):
        yield from _list_segments(listing, name, videos[name])


def read_ranges(listing: Listing, name: str, label: str) -> dict[str, tuple[Range, ...]]:
    """Return YouTube id -> ranges of the list `name`, in its order; rows that are none are noted.

    Args:
        label: how messages name the list.

    Raises:
        UserError: the list cannot be read.
    """
    videos: dict[str, _DownloadedVideo] = {}
    _read_list(listing, name, label, videos)
    return {youtube_id: tuple(video.rows) for youtube_id, video in videos.items()}


def _read_list(listing: Listing, name: str, label: str, videos: dict[str, _DownloadedVideo]) -> None:
    with open_csv(listing.locate(name), label) as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            where = f"{name}:{number}"
            if len(row) == 6:  # some copies put a serial number in front
                row = row[1:]
            if len(row) != 5:
                listing.skip("bad_row", where, f"{len(row)} columns instead of 5")
                continue
            youtube_id = row[0].strip()
            try:
                start, stop, x, y = (float(value) for value in row[1:])
            except ValueError:
                if number > 1:  # the first line may be a header that a copy has
                    listing.skip("bad_row", where, "start, end, x or y is not a number")
                continue
            error = _find_row_error(youtube_id, start, stop, x, y)
            if error:
                listing.skip("bad_row", where, error)
                continue
            known = videos.setdefault(youtube_id, _DownloadedVideo()).rows
            if (key := _make_range(start, stop)) in known:
                listing.skip("duplicate", where, f"{youtube_id} from {key[0]} to {key[1]} s was listed before")
            else:
                known[key] = (x, y)


def _find_row_error(youtube_id: str, start: float, stop: float, x: float, y: float) -> str | None:
    if not is_youtube_id(youtube_id):
        return "the first column is no YouTube id (11 characters)"
    if not is_part_of_recording(start, stop):
        return f"no range: from {start:g} to {stop:g} s"
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return f"the face's centre {x:g}, {y:g} lies outside the image"
    return None


def _make_range(start: float, stop: float) -> Range:
    return f"{start:.6f}", f"{stop:.6f}"


def _find_media(listing: Listing, videos: dict[str, _DownloadedVideo]) -> None:
    """Assign every media file below the root to its video; note the files that belong to no row."""
    stack = [""]
    while stack:
        below = stack.pop()
        for entry in listing.list_entries(below, r"(?!\.).*", "media file"):
            if entry.is_folder:
                stack.append(entry.path)
            elif entry.name in LISTS and not below:
                continue
            elif matched := _CUT.fullmatch(entry.name):
                key = _make_range(float(matched["start"]), float(matched["stop"]))
                _add_media(listing, videos, matched["id"], entry, key)
            elif matched := _NUMBERED.fullmatch(entry.name):
                _add_media(listing, videos, matched["id"], entry, int(matched["number"]))
            elif matched := _COMPLETE.fullmatch(entry.name):
                _add_media(listing, videos, matched["id"], entry, None)
            else:
                listing.skip("unexpected", entry.path, "its name is none of the known ways to name a download")


def _add_media(
    listing: Listing, videos: dict[str, _DownloadedVideo], name: str, file: ListedFile, segment: Range | int | None
) -> None:
    """Add a file to the YouTube id `name`; `segment` is its range, its row's number, or None for the complete video."""
    video = videos.get(name)
    if video is None:
        listing.skip("unlisted", file.path, f"no row of the lists has the id {name}")
        return
    if segment is None:
        before, video.complete = video.complete, video.complete or file
    elif isinstance(segment, int):
        before = video.numbered.get(segment)
        video.numbered.setdefault(segment, file)
    else:
        if segment not in video.rows:
            listing.skip("unlisted", file.path, f"no row of {name} goes from {segment[0]} to {segment[1]} s")
            return
        before = video.cut.get(segment)
        video.cut.setdefault(segment, file)
    if before is not None:
        listing.skip("duplicate", file.path, f"the same segment as {before.path}")


def _list_segments(listing: Listing, name: str, video: _DownloadedVideo) -> Iterator[Video]:
    """Yield the rows of the YouTube id `name` that have a file: a cut clip, or else the range of the complete video."""
    ordered = sorted(video.rows, key=lambda key: (float(key[0]), float(key[1])))
    for number, key in enumerate(ordered):
        start, stop = float(key[0]), float(key[1])
        video_id = f"{name}_{key[0]}-{key[1]}"
        cut = video.cut.get(key) or video.numbered.get(number)
        file = cut or video.complete
        if file is None:
            has_others = bool(video.cut or video.numbered)
            reason = (
                "only other rows of this video have a file"
                if has_others
                else "no file of this video: not downloaded, or no longer on YouTube"
            )
            listing.skip("missing", video_id, reason)
            continue
        x, y = video.rows[key]
        yield Video(
            source=listing.source,
            video_id=video_id,
            group_id=name,
            **file.stat_fields,
            start_s=None if cut else start,
            stop_s=None if cut else stop,
            origin=Origin(id=name, start_s=start, stop_s=stop, box=(x, y, x, y)),
        )
    for number, file in sorted(video.numbered.items()):
        if number >= len(ordered):
            listing.skip("unlisted", file.path, f"{name} has {len(ordered)} rows")
