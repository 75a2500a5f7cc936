"""AV-Deepfake1M and AV-Deepfake1M++: {train,val}_metadata.json, or one JSON for each video, and the videos they name.

The truth is in the segments: a video without one is real. The lists of test files have no labels.
"""

import re
from collections.abc import Iterator
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.forgery import ForgedKind, ForgedSegment, Forgery
from avf_shards.system.storage_faults import raise_machine_fault, read_text
from avf_shards.text import load_json
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.sources.forgery_labels import join_segments, parse_segments, truth_labels
from avf_curation.sources.json_rows import read_json_rows
from avf_curation.sources.listed_files import find_listed, is_inner_path
from avf_curation.sources.listing import Listing
from avf_curation.sources.owners_numbers import parse_number
from avf_curation.sources.types import Video

NAME = "av_deepfake1m"
ABOUT = (
    "AV-Deepfake1M and AV-Deepfake1M++: words that were replaced in sound, picture or both, with the seconds of each. "
    "The lists of the test sets have no labels."
)
LABELLED = True
OWNERS_COUNT = None  # two releases
LAYOUT = (
    "{train,val}_metadata.json (or train_metadata/*.json, or a .json beside each video), "
    "train/id00012/ID/00001/real.mp4, "
    "val/vox_celeb_2/id09078/ID/00116/fake_video_fake_audio_p1.mp4"
)
_SPLITS = ("train", "val")
_KINDS: dict[str, ForgedKind | None] = {
    "real": None,
    "visual_modified": "video",
    "audio_modified": "audio",
    "both_modified": "both",
}
_TEST_LISTS = ("test_files.txt", "testA_files.txt", "testB_files.txt")
_PERSON = re.compile(r"id\d{4,}|subject_\d+")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video of train and val that a row names.

    Raises:
        UserError: there is no metadata, or a list of it is damaged.
    """
    known = False
    for split in _SPLITS:
        if not any(
            (
                listing.has_file(f"{split}_metadata.json"),
                listing.has_folder(f"{split}_metadata"),
                listing.has_folder(split),
            )
        ):
            continue
        known = True
        base = f"{split}/{split}/" if listing.has_folder(f"{split}/{split}") else f"{split}/"
        for where, row in _read_rows(listing, split, base):
            video = _make_video(listing, row, split=split, base=base, where=where)
            if video is not None:
                yield video
    if not known:
        raise UserError(
            f"--source {NAME}={listing.root}: no train_metadata.json, val_metadata.json, train/ or val/ in it; "
            "`avf-curate sources ls` shows the owners' layout"
        )
    for name in _TEST_LISTS:
        if listing.has_file(name):
            listing.skip("excluded", name, "test files without published labels; read their folder as plain videos")


def _read_rows(listing: Listing, split: str, base: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where a row stands, and the row: of the list, else of the JSON files of single videos."""
    name = f"{split}_metadata.json"
    if listing.has_file(name):
        for number, row in read_json_rows(listing.locate(name)):
            yield f"{name}[{number}]", row
        return
    folder = f"{split}_metadata" if listing.has_folder(f"{split}_metadata") else base.rstrip("/")
    for path in _list_json(listing, folder):
        try:
            row = load_json(read_text(listing.locate(path), "utf-8-sig"))
        except (OSError, ValueError) as error:
            raise_machine_fault(error)
            listing.skip("bad_row", path, "cannot be read as JSON")
            continue
        if isinstance(row, dict):
            yield path, row
        else:
            listing.skip("bad_row", path, "is no JSON object")


def _list_json(listing: Listing, folder: str) -> Iterator[str]:
    """Yield the JSON files below a folder, in the order of names; other files are videos, which rows name."""
    folders = [folder]
    while folders:
        below = []
        for entry in listing.list_entries(folders.pop(), r"(?!\.).*", "file"):
            if entry.is_folder:
                below.append(entry.path)
            elif entry.name.endswith(".json"):
                yield entry.path
        folders += reversed(below)


def _make_video(listing: Listing, row: dict[str, Any], *, split: str, base: str, where: str) -> Video | None:
    """Return the input of a row, or note why there is none."""
    name = row.get("file")
    if not isinstance(name, str) or not name.endswith(".mp4") or not is_inner_path(name):
        listing.skip("bad_row", where, f"file {str(name)[:80]!r} is no path of an mp4")
        return None
    forgery = _read_truth(row, split, name)
    if isinstance(forgery, str):
        listing.skip("bad_row", where, f"{name[:200]}: {forgery}")
        return None
    file = find_listed(listing, base + name, where)
    if file is None:
        return None
    person = next((part for part in map(_PERSON.match, name.split("/")) if part), None)
    owners = {key: str(row[key]) for key in ("modify_type", "audio_model", "video_model") if row.get(key)}
    labels = truth_labels(forgery, split=split, subject=person[0] if person else None, owners=owners)
    return Video(
        source=listing.source,
        video_id=_video_id(split, name),
        group_id=forgery.original,
        **file.stat_fields,
        speaker=labels.subject,
        labels=labels,
    )


def _video_id(split: str, name: str) -> str:
    return f"{split}/{name.removesuffix('.mp4')}"


def _read_truth(row: dict[str, Any], split: str, name: str) -> Forgery | str:
    """Return what a row says, or in words what is wrong with it."""
    modified = str(row.get("modify_type")).replace("-", "_")
    if modified not in _KINDS:
        return f"modify_type {str(row.get('modify_type'))[:40]!r} is none of {', '.join(_KINDS)}"
    kind = _KINDS[modified]
    frames = parse_number(row.get("video_frames"), 1)
    seconds = None if frames is None else frames / FRAMES_PER_SECOND
    lists: dict[str, tuple[ForgedSegment, ...]] = {}
    streams: tuple[tuple[str, ForgedKind, str | None], ...] = (
        ("fake_segments", kind or "both", None),
        ("audio_fake_segments", "audio", "audio_model"),
        ("visual_fake_segments", "video", "video_model"),
    )
    for key, part, model in streams:
        method = str(row[model]) if model and row.get(model) else None
        segments = parse_segments(row.get(key) or (), part, duration_s=seconds, method=method)
        if isinstance(segments, str):
            return f"{key}: {segments}"
        lists[key] = segments
    if bool(lists["fake_segments"]) != (kind is not None):
        return f"modify_type is {modified}, and there are {len(lists['fake_segments'])} fake_segments"
    if kind is None:
        return Forgery(is_fake=False, original=_video_id(split, name))
    original = row.get("original")
    if not isinstance(original, str) or not original:
        return "is a fake without an original"
    models = [str(row[model]) for model in ("audio_model", "video_model") if row.get(model)]
    joined = join_segments(lists["audio_fake_segments"], lists["visual_fake_segments"])
    return Forgery(
        is_fake=True,
        original=_video_id(split, original),
        kind=kind,
        method="+".join(models) or None,
        segments=joined or lists["fake_segments"],
    )
