"""A plain folder: every file below it that holds video or audio is an input."""

import os
import re
from collections.abc import Container, Iterator

from avf_shards.system.storage_faults import is_machine_fault

from avf_curation.recipe import PlanConfig
from avf_curation.sources.listing import Listing
from avf_curation.sources.media_names import describe_non_media
from avf_curation.sources.types import Video, utf8_name


def list_folder_videos(listing: Listing, config: PlanConfig, named: Container[str] = ()) -> Iterator[Video]:
    """Yield every file below the source's root that is video or audio, folder by folder in the order of names.

    Hidden files and folders are skipped, and so are links that lead out of the corpus, and folders that a link leads
    into a second time.

    Args:
        named: Files that are inputs whatever they hold, as UTF-8 names below the root.
    """
    root, source = listing.root, listing.source
    pattern = None if config.group_by in ("file", "directory") else re.compile(config.group_by)
    try:
        seen = {_identity(os.stat(root))}
    except OSError as error:
        listing.skip_unreadable("", error)
        return
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            listing.skip_unreadable(below, error)
            continue
        folders = []
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") and not entry.name.startswith(".."):
                listing.skip("hidden", path, "hidden")
                continue
            if entry.is_symlink() and listing.skips_link(path):
                continue
            try:
                stat = entry.stat()
                is_folder = entry.is_dir()
            except OSError as error:  # a link that is broken or leads to itself: an input that the run reports
                if is_machine_fault(error):
                    listing.skip_unreadable(path, error)
                    continue
                stat, is_folder = None, False
            if stat is None or entry.is_file():
                try:
                    kind = None if utf8_name(path) in named else describe_non_media(root / path)
                except OSError as error:  # of the first bytes, which say whether the file is an input
                    listing.skip_unreadable(path, error)
                    continue
                if kind is None:
                    yield _make_video(source, path, stat, config, pattern)
                else:
                    listing.skip("not_media", path, f"no video or audio: {kind}")
                continue
            if is_folder:
                if _identity(stat) in seen:
                    listing.skip("unexpected", path, "leads to a folder that is read already")
                    continue
                seen.add(_identity(stat))
                folders.append(path)
            else:
                listing.skip("unexpected", path, "not a regular file")
        stack.extend(reversed(folders))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _make_video(
    source: str, path: str, stat: os.stat_result | None, config: PlanConfig, pattern: re.Pattern[str] | None
) -> Video:
    """Return the input of a file; `pattern` is the compiled `group_by` of a recipe that groups by an expression."""
    name = utf8_name(path)
    if config.group_by == "file":
        group = name
    elif config.group_by == "directory":
        group = utf8_name(os.path.dirname(path)) or "."
    else:
        assert pattern is not None
        matched = pattern.search(name)
        group = matched.group(1) if matched and matched.group(1) else name
    return Video(
        source=source,
        video_id=name,
        group_id=group,
        path=path,
        size_bytes=stat.st_size if stat else 0,
        mtime_ns=stat.st_mtime_ns if stat else 0,
    )
