"""CelebV-HQ: celebvhq_info.json and the videos that users download by this list: raw/ID.mp4, or processed/KEY.mp4.

A clip is a range and a box of a video; KEY is ID_N. Cut clips in processed/ come first, else the range of the complete
video in raw/. The JSON has no identities, so the YouTube videos are the groups.
"""

from collections.abc import Iterator
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin
from avf_shards.system.storage_faults import read_text
from avf_shards.text import load_json

from avf_curation.sources.listing import Listing
from avf_curation.sources.owners_numbers import is_part_of_recording
from avf_curation.sources.types import Video
from avf_curation.sources.youtube import YOUTUBE_ID, is_youtube_id

NAME = "celebvhq"
ABOUT = (
    "CelebV-HQ: celebvhq_info.json and the videos that users download from YouTube by this list. A clip is a "
    "time range and a box of a video. A cut clip in processed/ is preferred to the range of the complete "
    "video in raw/."
)
LABELLED = False
OWNERS_COUNT = 35_666
LAYOUT = "celebvhq_info.json; downloaded_celebvhq/raw/ID.mp4 and downloaded_celebvhq/processed/ID_N.mp4, either or both"
INFO = "celebvhq_info.json"
_COMPLETE = rf"{YOUTUBE_ID}\.(mp4|mkv|webm)"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips that have a cut file or a complete video.

    Raises:
        UserError: the owners' JSON is missing or cannot be read.
    """
    clips = read_listed_clips(listing)
    base = "downloaded_celebvhq/" if listing.has_folder("downloaded_celebvhq") else ""
    complete_videos = listing.files_by_stem(f"{base}raw", _COMPLETE, "video (a YouTube id)")
    cuts = listing.files_by_stem(f"{base}processed", rf"{YOUTUBE_ID}_\d+\.mp4", "clip (YouTube id and number)")
    used: set[str] = set()
    for key, origin in sorted(clips.items()):
        cut = cuts.pop(key, None)
        file = cut or complete_videos.get(origin.id)
        used.add(origin.id)
        if file is None:
            reason = (
                f"neither the clip nor its video {origin.id} is in the folder: not downloaded, or no longer on YouTube"
            )
            listing.skip("missing", key, reason)
            continue
        yield Video(
            source=listing.source,
            video_id=key,
            group_id=origin.id,
            **file.stat_fields,
            start_s=None if cut else origin.start_s,
            stop_s=None if cut else origin.stop_s,
            origin=origin,
        )
    unused = [video for youtube_id, video in complete_videos.items() if youtube_id not in used]
    for file in (*cuts.values(), *unused):
        listing.skip("unlisted", file.path, f"{INFO} has no such clip")


def read_listed_clips(listing: Listing, name: str = INFO) -> dict[str, Origin]:
    """Return key -> origin of the clips in the owners' JSON, the file `name`.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    path = listing.locate(name)
    duplicates: list[str] = []

    def note_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            keys = [key for key, _ in pairs]
            duplicates.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return values

    try:
        info = load_json(read_text(path, "utf-8"), object_pairs_hook=note_duplicates)
    except FileNotFoundError:
        raise UserError(f"--source {NAME}={listing.root}: no {name} in it; the corpus is this list") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())[:120]})") from None
    entries = info.get("clips", info) if isinstance(info, dict) else None
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected an object of clips, as the owners' file has")
    for duplicate in duplicates:
        listing.skip("duplicate", f"{name}: {duplicate}", "listed twice; the last entry counts")
    clips: dict[str, Origin] = {}
    for key, entry in entries.items():
        if key in ("meta_info", "mete_info"):  # one release of the owners misspells the key
            continue
        try:
            clips[key] = _parse_origin(key, entry)
        except (KeyError, TypeError, ValueError) as error:
            listing.skip("bad_row", f"{name}: {key}", f"not a clip as the owners give ({error})")
    return clips


def _parse_origin(key: str, entry: Any) -> Origin:
    youtube_id, _, number = key.rpartition("_")
    if entry["ytb_id"] != youtube_id or not is_youtube_id(youtube_id) or not number.isdigit():
        raise ValueError("its key is not ytb_id and a number")
    start, stop = float(entry["duration"]["start_sec"]), float(entry["duration"]["end_sec"])
    left, top, right, bottom = (float(entry["bbox"][side]) for side in ("left", "top", "right", "bottom"))
    if not is_part_of_recording(start, stop):
        raise ValueError(f"no range: from {start:g} to {stop:g} s")
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError("its box lies outside the image")
    return Origin(id=youtube_id, start_s=start, stop_s=stop, box=(left, top, right, bottom))
