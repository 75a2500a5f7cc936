"""A plain folder: every regular file under it is an input."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from avf_curation.recipe import PlanConfig
from avf_curation.sources.types import SkippedInput, Video, is_readable


def list_videos(root: Path, source: str, config: PlanConfig, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """A plain folder: every regular file under `root`, links followed, is an input. Sorted by name.

    Hidden files and folders are skipped, as are folders that a link leads into a second time.
    """
    pattern = None if config.group_by in ("file", "directory") else re.compile(config.group_by)
    seen = {_identity(os.stat(root))}
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            skipped_inputs.append(
                SkippedInput(source=source, path=is_readable(below), reason=f"folder cannot be read ({error.strerror})")
            )
            continue
        folders = []
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") and not entry.name.startswith(".."):
                skipped_inputs.append(
                    SkippedInput(source=source, path=is_readable(path), reason="hidden", kind="hidden")
                )
                continue
            try:
                stat = entry.stat()
                folder = entry.is_dir()
            except OSError:  # a broken link, or one that leads to itself: an input that cannot be read
                yield _listed(source, path, size=0, mtime_ns=0, config=config, pattern=pattern)
                continue
            if folder:
                if _identity(stat) in seen:
                    skipped_inputs.append(
                        SkippedInput(
                            source=source, path=is_readable(path), reason="leads to a folder that is read already"
                        )
                    )
                    continue
                seen.add(_identity(stat))
                folders.append(path)
            elif entry.is_file():
                yield _listed(
                    source, path, size=stat.st_size, mtime_ns=stat.st_mtime_ns, config=config, pattern=pattern
                )
            else:
                skipped_inputs.append(SkippedInput(source=source, path=is_readable(path), reason="not a regular file"))
        stack.extend(reversed(folders))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _listed(
    source: str, path: str, *, size: int, mtime_ns: int, config: PlanConfig, pattern: re.Pattern[str] | None
) -> Video:
    name = is_readable(path)
    if config.group_by == "file":
        group = name
    elif config.group_by == "directory":
        group = is_readable(os.path.dirname(path)) or "."
    else:
        assert pattern is not None
        found = pattern.search(name)
        group = found.group(1) if found and found.group(1) else name
    return Video(source=source, video_id=name, group_id=group, path=path, size_bytes=size, mtime_ns=mtime_ns)
