"""CelebV-HQ: celebvhq_info.json and what was fetched from YouTube by it: raw/ID.mp4, or processed/KEY.mp4.

A clip is a range and a box of a film; KEY is ID_N. Cut clips in processed/ are taken first, else the range of the film
in raw/. Identities are not in the JSON, so films are the groups.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import SkippedInput, Video
from avf_curation.sources.youtube import is_video_id

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
_MEDIA = r"[A-Za-z0-9_-]{11}\.(mp4|mkv|webm)"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """The clips whose film or cut is there. Raises UserError without the owners' JSON."""
    listing = Listing("celebvhq", root, skipped_inputs)
    clips = _clips(listing)
    base = "downloaded_celebvhq/" if listing.has("downloaded_celebvhq") else ""
    films = listing.by_stem(f"{base}raw", _MEDIA, "film (a YouTube id)")
    cuts = listing.by_stem(f"{base}processed", r"[A-Za-z0-9_-]{11}_\d+\.mp4", "clip (YouTube id and number)")
    used: set[str] = set()
    for key, origin in sorted(clips.items()):
        cut, film = cuts.pop(key, None), films.get(origin.id)
        one = cut or film
        used.add(origin.id)
        if one is None:
            listing.note("missing", key, f"neither the clip nor its film {origin.id} is here: not downloaded, or gone")
            continue
        yield Video(
            source=listing.source,
            video_id=key,
            group_id=origin.id,
            **one.file,
            start_s=None if cut else origin.start_s,
            stop_s=None if cut else origin.stop_s,
            origin=origin,
        )
    for left in [*cuts.values(), *(film for name, film in films.items() if name not in used)]:
        listing.note("unlisted", left.path, f"{INFO} has no such clip")


def _clips(listing: Listing) -> dict[str, Origin]:
    path = listing.root / INFO
    duplicates: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(found)
        if len(values) != len(found):
            names = [name for name, _ in found]
            duplicates.extend(sorted({name for name in names if names.count(name) > 1}))
        return values

    try:
        info = json.loads(path.read_text("utf-8"), object_pairs_hook=pairs)
    except FileNotFoundError:
        raise UserError(f"--source celebvhq={listing.root}: no {INFO} there; it is the corpus") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())[:120]})") from None
    entries = info.get("clips", info) if isinstance(info, dict) else None
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected a table of clips")
    for name in duplicates:
        listing.note("duplicate", f"{INFO}: {name}", "listed twice; the last one counts")
    found: dict[str, Origin] = {}
    for key, entry in entries.items():
        if key in ("meta_info", "mete_info"):  # the owners' spelling of one release
            continue
        try:
            found[key] = _origin(key, entry)
        except (KeyError, TypeError, ValueError) as error:
            listing.note("bad_row", f"{INFO}: {key}", f"not a clip as the owners give ({error})")
    return found


def _origin(key: str, entry: Any) -> Origin:
    film, _, number = key.rpartition("_")
    if entry["ytb_id"] != film or not is_video_id(film) or not number.isdigit():
        raise ValueError("its key is not ytb_id and a number")
    start, stop = float(entry["duration"]["start_sec"]), float(entry["duration"]["end_sec"])
    left, top, right, bottom = (float(entry["bbox"][side]) for side in ("left", "top", "right", "bottom"))
    if not (math.isfinite(stop) and 0 <= start < stop):
        raise ValueError(f"no range: from {start:g} to {stop:g} s")
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError("its box lies outside the picture")
    return Origin(id=film, start_s=start, stop_s=stop, box=(left, top, right, bottom))
