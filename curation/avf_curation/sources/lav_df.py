"""LAV-DF: metadata.json (or metadata.min.json), a list of the videos of train/, dev/ and test/ with forged periods."""

from collections.abc import Iterator
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.forgery import ForgedKind, Forgery

from avf_curation.sources.forgery_labels import parse_segments, truth_labels
from avf_curation.sources.json_rows import read_json_rows
from avf_curation.sources.listed_files import find_listed, is_inner_path
from avf_curation.sources.listing import Listing
from avf_curation.sources.owners_numbers import parse_number
from avf_curation.sources.types import Video

NAME = "lav_df"
ABOUT = (
    "LAV-DF: VoxCeleb2 clips in which words of the sound, the picture or both were replaced, with the seconds of each."
)
LABELLED = True
OWNERS_COUNT = 136_304
LAYOUT = "metadata.json (or metadata.min.json), {train,dev,test}/000000.mp4"
_LISTS = ("metadata.json", "metadata.min.json")
_SPLITS = ("train", "dev", "test")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video that the list names.

    Raises:
        UserError: there is no list, or it is damaged.
    """
    base = "LAV-DF/" if listing.has_folder("LAV-DF") else ""
    table = next((base + name for name in _LISTS if listing.has_file(base + name)), None)
    if table is None:
        raise UserError(f"--source {NAME}={listing.root}: no {' or '.join(_LISTS)} in it; the corpus is this list")
    listed: set[str] = set()
    for number, row in read_json_rows(listing.locate(table)):
        listed.add(f"{base}{row.get('file')}")
        video = _make_video(listing, row, base=base, where=f"{table}[{number}]")
        if video is not None:
            yield video
    for entry in listing.list_entries(base.rstrip("/"), r"(?!\.).*", "folder"):
        if entry.is_folder and entry.name not in _SPLITS:
            listing.skip("unlisted", entry.path, "a folder that the list does not name, as that of the owners' demo")
        elif entry.is_folder:
            for file in listing.list_entries(entry.path, r"(?!\.).+\.mp4", "video (.mp4)"):
                if file.path not in listed:
                    listing.skip("unlisted", file.path, f"{table} does not name it")


def _make_video(listing: Listing, row: dict[str, Any], *, base: str, where: str) -> Video | None:
    """Return the input of a row, or note why there is none."""
    name, split = row.get("file"), row.get("split")
    if not isinstance(name, str) or not name.endswith(".mp4") or not is_inner_path(name):
        listing.skip("bad_row", where, f"file {str(name)[:80]!r} is no path of an mp4")
        return None
    forgery = (
        _read_truth(row, name) if split in _SPLITS else f"split {str(split)[:40]!r} is none of {', '.join(_SPLITS)}"
    )
    if isinstance(forgery, str):
        listing.skip("bad_row", where, f"{name[:200]}: {forgery}")
        return None
    file = find_listed(listing, base + name, where)
    if file is None:
        return None
    return Video(
        source=listing.source,
        video_id=_video_id(name),
        group_id=forgery.original,
        **file.stat_fields,
        labels=truth_labels(forgery, split=str(split)),
    )


def _video_id(name: str) -> str:
    return name.removesuffix(".mp4")


def _read_truth(row: dict[str, Any], name: str) -> Forgery | str:
    """Return what a row says, or in words what is wrong with it."""
    video, audio = (row.get(key) is True for key in ("modify_video", "modify_audio"))
    kind: ForgedKind | None = "both" if video and audio else "video" if video else "audio" if audio else None
    seconds = parse_number(row.get("duration"), 0)
    segments = parse_segments(row.get("fake_periods") or (), kind or "both", duration_s=seconds)
    if isinstance(segments, str):
        return f"fake_periods: {segments}"
    if parse_number(row.get("n_fakes")) != len(segments):
        return f"n_fakes is {str(row.get('n_fakes'))[:20]}, and there are {len(segments)} fake_periods"
    if not segments:
        return Forgery(is_fake=False, original=_video_id(name))
    if kind is None:
        return "has fake_periods, and neither modify_video nor modify_audio"
    original = row.get("original")
    if not isinstance(original, str) or not original:
        return "is a fake without an original"
    return Forgery(is_fake=True, original=_video_id(original), kind=kind, segments=segments)
