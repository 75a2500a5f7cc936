"""The lists of VoxCeleb2, AVSpeech and CelebV-HQ as downloads: ids, ranges, and the files that the readers expect.

Each list is read by the functions of its corpus' reader. Ids are those of YouTube and paths are built of them and of
numbers alone, so that no row of a list names another file or another address.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from avf_shards.errors import UserError

from avf_curation.sources import avspeech, celebvhq, voxceleb2
from avf_curation.sources.face_track import read_face_track
from avf_curation.sources.listing import Listing
from avf_curation.sources.owners_numbers import is_part_of_recording
from avf_curation.sources.types import SkippedInput
from avf_curation.sources.youtube import YOUTUBE_ID


@dataclass(frozen=True, kw_only=True)
class FetchItem:
    """A file that is to be downloaded."""

    video_id: str  # on YouTube
    path: str  # of the file below the corpus' folder
    start_s: float | None = None  # range of the video; None: the complete video
    stop_s: float | None = None
    beside: tuple[Path, str] | None = None  # a file of the list that goes along, and its path below the corpus' folder


@dataclass(frozen=True, kw_only=True)
class FetchList:
    """The downloads that a list of ids names."""

    items: tuple[FetchItem, ...]  # ranges of a video stand together; videos in the order of the list
    skipped_rows: tuple[SkippedInput, ...]  # rows that are no download, with the reason
    list_name: str | None  # the list's own path below the corpus' folder; None where it is a folder of tracks


def read_voxceleb2(ids: Path, skipped: list[SkippedInput], complete: bool) -> Iterator[FetchItem]:
    """Yield the clips of a folder of face tracks, as the owners' archive of them unpacks.

    Raises:
        UserError: it is no such folder, or complete videos are asked for, which the corpus does not have.
    """
    if complete:
        raise UserError("voxceleb2 is made of clips: leave out --complete")
    if not ids.is_dir():
        raise UserError(f"--ids {ids}: VoxCeleb2's list is the folder of face tracks, txt/ of the unpacked archive")
    listing = Listing(voxceleb2.NAME, ids, skipped, follow_symlinks=True)
    base = next((base for base in ("dev/txt", "txt") if listing.has_folder(base)), "")
    has_items = False
    for speaker in listing.list_entries(base, voxceleb2.SPEAKER, "speaker (id and five digits)"):
        for video in listing.list_entries(speaker.path, YOUTUBE_ID, "YouTube id (11 characters)"):
            for track in listing.list_entries(video.path, r"\d{5}\.txt", "face track"):
                item = _track_item(listing, track.path, f"{speaker.name}/{video.name}/{track.stem}", video.name)
                if item is not None:
                    has_items = True
                    yield item
    if not has_items:
        raise UserError(f"--ids {ids}: no face track id00012/21Uxsk56VDQ/00001.txt is in it, in its txt/ or dev/txt/")


def _track_item(listing: Listing, path: str, name: str, video_id: str) -> FetchItem | None:
    """Return the download of a face track; None where it cannot be read, which is noted."""
    source = listing.root / path
    try:
        origin = read_face_track(source, video_id)
    except (OSError, ValueError) as error:
        listing.skip("bad_row", path, f"no face track: {error}")
        return None
    if origin.start_s is None or origin.stop_s is None or not is_part_of_recording(origin.start_s, origin.stop_s):
        listing.skip("bad_row", path, "its frames are no range of a video")
        return None
    return FetchItem(
        video_id=video_id,
        path=f"dev/mp4/{name}.mp4",
        start_s=origin.start_s,
        stop_s=origin.stop_s,
        beside=(source, f"dev/txt/{name}.txt"),
    )


def read_avspeech(ids: Path, skipped: list[SkippedInput], complete: bool) -> Iterator[FetchItem]:
    """Yield the rows of avspeech_train.csv or avspeech_test.csv, or its complete videos. Raises UserError."""
    listing = Listing(avspeech.NAME, ids.parent, skipped, follow_symlinks=True)
    rows = avspeech.read_ranges(listing, ids.name, f"--ids {ids}")
    for video_id, ranges in rows.items():
        if complete:
            yield FetchItem(video_id=video_id, path=f"{video_id}.mp4")
            continue
        for start, stop in ranges:
            name = f"{video_id}_{float(start):010.6f}-{float(stop):010.6f}.mp4"
            yield FetchItem(video_id=video_id, path=name, start_s=float(start), stop_s=float(stop))


def read_celebvhq(ids: Path, skipped: list[SkippedInput], complete: bool) -> Iterator[FetchItem]:
    """Yield the clips of celebvhq_info.json, or its complete videos. Raises UserError."""
    listing = Listing(celebvhq.NAME, ids.parent, skipped, follow_symlinks=True)
    clips = celebvhq.read_listed_clips(listing, ids.name)
    if complete:
        for video_id in dict.fromkeys(origin.id for origin in clips.values()):
            yield FetchItem(video_id=video_id, path=f"downloaded_celebvhq/raw/{video_id}.mp4")
        return
    for key, origin in clips.items():
        path = f"downloaded_celebvhq/processed/{key}.mp4"
        yield FetchItem(video_id=origin.id, path=path, start_s=origin.start_s, stop_s=origin.stop_s)


_Reader = Callable[[Path, list[SkippedInput], bool], Iterator[FetchItem]]
_READERS: dict[str, _Reader] = {
    voxceleb2.NAME: read_voxceleb2,
    avspeech.NAME: read_avspeech,
    celebvhq.NAME: read_celebvhq,
}
CORPORA = tuple(_READERS)
"""Names of the corpora whose lists are read here."""


@dataclass(kw_only=True)
class _Grouped:
    items: dict[str, list[FetchItem]] = field(default_factory=dict)  # by video
    paths: set[str] = field(default_factory=set)


def read_id_list(source: str, ids: Path, *, complete: bool) -> FetchList:
    """Return the downloads of a list, each once.

    Args:
        source: name of the corpus.
        ids: the list as its owners publish it: a file, or VoxCeleb2's folder of face tracks.
        complete: download complete videos in place of the ranges.

    Raises:
        UserError: the list cannot be read, or has no row that is a download.
    """
    if source != voxceleb2.NAME and not ids.is_file():
        raise UserError(f"--ids {ids}: there is no such file; {source}'s list is a file of its owners")
    skipped: list[SkippedInput] = []
    grouped = _Grouped()
    for item in _READERS[source](ids, skipped, complete):
        if item.path not in grouped.paths:
            grouped.paths.add(item.path)
            grouped.items.setdefault(item.video_id, []).append(item)
    items = tuple(item for group in grouped.items.values() for item in group)
    if not items:
        reason = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise UserError(f"--ids {ids}: has no row that names a video{reason}")
    return FetchList(items=items, skipped_rows=tuple(skipped), list_name=_list_name(source, ids))


def _list_name(source: str, ids: Path) -> str | None:
    if source == avspeech.NAME:
        return ids.name if ids.name in avspeech.LISTS else avspeech.LISTS[0]
    return celebvhq.INFO if source == celebvhq.NAME else None
