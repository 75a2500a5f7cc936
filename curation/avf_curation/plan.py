"""The plan: every input of a run, by stat alone, sorted and cut into units, frozen before any work."""

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from avf_shards.errors import UserError
from avf_shards.keys import check_source_name

from avf_curation.recipe import PlanConfig

CORPORA = ("voxceleb2", "avspeech", "mer2024", "cncvs", "celebvhq")
"""Names that select an adapter for a corpus as its owners distribute it; any other name is a plain folder."""


@dataclass(frozen=True, slots=True)
class Video:
    """One input: a stable id inside its source, where it lies under the source's folder, what stat says of it.

    `path` may hold bytes that are no UTF-8, as Python's file names do; `video` never does.
    """

    source: str
    video: str
    parent: str
    path: str
    size_bytes: int
    mtime_ns: int
    sound_path: str | None = None
    speaker: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class SetAside:
    """Things under a source's folder that are no input: hidden files, folders that loop, what is not a file."""

    source: str
    path: str
    why: str


SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("video", pa.string()),
        ("parent", pa.string()),
        ("path", pa.binary()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sound_path", pa.binary()),
        ("speaker", pa.string()),
        ("language", pa.string()),
    ]
)


def parse_sources(arguments: Iterable[str]) -> dict[str, Path]:
    """`NAME=DIR` arguments. Raises UserError for bad or doubled names and missing folders."""
    sources: dict[str, Path] = {}
    for text in arguments:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UserError(f"--source {text}: expected NAME=DIR, as in --source interviews=/data/interviews")
        check_source_name(name)
        if name in CORPORA:
            raise UserError(
                f"--source {name}: that name is kept for the corpus' own layout, which is not read yet; "
                f"to read it as a plain folder use another name, as in --source {name}_files={folder}"
            )
        if name in sources:
            raise UserError(f"--source {name}: given twice; one name is one source")
        root = Path(folder)
        if not root.is_dir():
            what = "is a file; name the folder it lies in" if root.exists() else "no such folder"
            raise UserError(f"--source {name}={folder}: {what}")
        if not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"--source {name}={folder}: no permission to read the folder")
        sources[name] = root
    if not sources:
        raise UserError("no --source given; as in --source interviews=/data/interviews")
    return sources


def readable(path: str) -> str:
    """A file name as text that is UTF-8 and unique; names that are no UTF-8 get their bytes' hash behind them."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"{raw.decode('utf-8', 'backslashreplace')}~{hashlib.sha256(raw).hexdigest()[:8]}"


def cut_units(videos: list[Video], config: Mapping[str, PlanConfig]) -> list[int]:
    """The unit of each video. `videos` are sorted by source, parent, video; a parent is never split."""
    units: list[int] = []
    unit, count, size = -1, 0, 0
    at = 0
    while at < len(videos):
        first = videos[at]
        end = at
        while end < len(videos) and videos[end].parent == first.parent and videos[end].source == first.source:
            end += 1
        limits = config[first.source]
        more = sum(video.size_bytes for video in videos[at:end])
        full = count + end - at > limits.unit_videos or size + more > limits.unit_mb * 1e6
        if at == 0 or full or videos[at - 1].source != first.source:
            unit, count, size = unit + 1, 0, 0
        units += [unit] * (end - at)
        count, size = count + end - at, size + more
        at = end
    return units


def make_plan(videos: Iterable[Video], config: Mapping[str, PlanConfig]) -> pa.Table:
    """The plan's table: sorted by source, parent, video, with units. Raises UserError for a doubled id."""
    ordered = sorted(videos, key=lambda v: (v.source, v.parent, v.video))
    for before, after in zip(ordered, ordered[1:], strict=False):
        if (before.source, before.video) == (after.source, after.video):
            raise UserError(f"{after.source}: two inputs have the id {after.video!r}")

    def encoded(path: str | None) -> bytes | None:
        return None if path is None else os.fsencode(path)

    columns: dict[str, Any] = {
        "unit": cut_units(ordered, config),
        "source": pa.array([v.source for v in ordered], pa.string()).dictionary_encode(),
        "video": [v.video for v in ordered],
        "parent": [v.parent for v in ordered],
        "path": [encoded(v.path) for v in ordered],
        "size_bytes": [v.size_bytes for v in ordered],
        "mtime_ns": [v.mtime_ns for v in ordered],
        "sound_path": [encoded(v.sound_path) for v in ordered],
        "speaker": [v.speaker for v in ordered],
        "language": [v.language for v in ordered],
    }
    return pa.table(columns, schema=SCHEMA)


def encode_plan(table: pa.Table) -> bytes:
    """The plan as the bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def videos_of(rows: pa.Table) -> list[Video]:
    """Rows of a plan as inputs, in their order."""
    return [_video(row) for row in rows.to_pylist()]


def _video(row: dict[str, Any]) -> Video:
    row.pop("unit")
    sound = row.pop("sound_path")
    path = os.fsdecode(row.pop("path"))
    return Video(path=path, sound_path=None if sound is None else os.fsdecode(sound), **row)


def walk(root: Path, source: str, config: PlanConfig, aside: list[SetAside]) -> Iterator[Video]:
    """A plain folder: every regular file under `root`, links followed, is an input. Sorted by name.

    Hidden files and folders are set aside, as are folders that a link leads into a second time.
    """
    pattern = None if config.parent in ("file", "directory") else re.compile(config.parent)
    seen = {_identity(os.stat(root))}
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            aside.append(SetAside(source, readable(below), f"folder cannot be read ({error.strerror})"))
            continue
        folders = []
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") and not entry.name.startswith(".."):
                aside.append(SetAside(source, readable(path), "hidden"))
                continue
            try:
                stat = entry.stat()
                folder = entry.is_dir()
            except OSError:  # a broken link, or one that leads to itself: an input that cannot be read
                yield _listed(source, path, 0, 0, config, pattern)
                continue
            if folder:
                if _identity(stat) in seen:
                    aside.append(SetAside(source, readable(path), "leads to a folder that is read already"))
                    continue
                seen.add(_identity(stat))
                folders.append(path)
            elif entry.is_file():
                yield _listed(source, path, stat.st_size, stat.st_mtime_ns, config, pattern)
            else:
                aside.append(SetAside(source, readable(path), "not a regular file"))
        stack.extend(reversed(folders))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _listed(
    source: str, path: str, size: int, mtime_ns: int, config: PlanConfig, pattern: re.Pattern[str] | None
) -> Video:
    name = readable(path)
    if config.parent == "file":
        parent = name
    elif config.parent == "directory":
        parent = readable(os.path.dirname(path)) or "."
    else:
        assert pattern is not None
        found = pattern.search(name)
        parent = found.group(1) if found and found.group(1) else name
    return Video(source, name, parent, path, size, mtime_ns)
