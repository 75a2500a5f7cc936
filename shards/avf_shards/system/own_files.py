"""Which file a command may replace: one that the same kind of command has written before, and no other.

A file is known by what is in it, never by its name: `talk.srt` beside `talk.mp4` may be the film's own subtitles.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import open_plain

PROGRAM = "avf-foundry"
"""What pages and figures have in their metadata, as the program that wrote them."""
PAGE_MARK = f'<meta name="generator" content="{PROGRAM}">'
_HEAD_BYTES = 4096  # of a text file, that its first lines are looked for in
_MOST_BYTES = 1 << 28  # of a file that is read whole; larger ones are nobody's page, figure or table


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A kind of file, and how one is known."""

    noun: str  # with its article, as messages say it
    knows: Callable[[Path], bool]  # whether a file, which is not empty, is of this kind


def require_replaceable(path: Path, own: OwnFile) -> None:
    """Raise UserError where a file stands at `path` that is not of the kind `own`, or a folder.

    An empty file and a device, such as /dev/stdout, hold nothing to lose. A file that cannot be read is nobody's own.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder, in the way of a file of this name; move it away")
    if path.is_file() and path.stat().st_size and not _is_own(path, own):
        raise UserError(f"{path}: is there already and is not {own.noun}; name another file, or move it away")


def _is_own(path: Path, own: OwnFile) -> bool:
    try:
        return own.knows(path)
    except OSError:
        return False


def json_table(noun: str, keys: Collection[str]) -> OwnFile:
    """Return the kind of a JSON object that has the keys."""

    def knows(path: Path) -> bool:
        values = read_json_value(path)
        return isinstance(values, dict) and values.keys() >= set(keys)

    return OwnFile(noun=noun, knows=knows)


def json_rows(noun: str, keys: Collection[str]) -> OwnFile:
    """Return the kind of a JSON array of objects that have the keys; an empty one is of this kind."""

    def knows(path: Path) -> bool:
        rows = read_json_value(path)
        return isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows)

    return OwnFile(noun=noun, knows=knows)


def text_with(noun: str, *parts: str) -> OwnFile:
    """Return the kind of a text that has all parts within its first 4 KiB."""

    def knows(path: Path) -> bool:
        head = _read(path, _HEAD_BYTES)
        return all(part.encode() in head for part in parts)

    return OwnFile(noun=noun, knows=knows)


def _is_figure(path: Path) -> bool:
    """Return whether the metadata of a PNG, JPEG, PDF or SVG say in the field of its format who drew it."""
    data = _read(path, _MOST_BYTES)
    return any(data.startswith(start) and re.search(mark, data) for start, mark in _FIGURE_MARKS.items())


def bytes_with(noun: str, *parts: bytes) -> OwnFile:
    """Return the kind of a file that has all parts anywhere in it."""

    def knows(path: Path) -> bool:
        data = _read(path, _MOST_BYTES)
        return all(part in data for part in parts)

    return OwnFile(noun=noun, knows=knows)


def read_json_value(path: Path) -> object:
    """Return the JSON value in a file, or None where it holds none, or is larger than any of this program's."""
    try:
        return json.loads(_read(path, _MOST_BYTES))
    except (ValueError, RecursionError):
        return None


def _read(path: Path, most_bytes: int) -> bytes:
    with open(path, "rb", opener=open_plain) as file:
        return file.read(most_bytes)


NO_FILE = OwnFile(noun="empty", knows=lambda path: False)
PAGE = text_with("a page of this program", PAGE_MARK)
_FIGURE_MARKS = {
    b"\x89PNG": rb"\0\0\0\x14tEXtSoftware\0" + PROGRAM.encode(),
    b"\xff\xd8": rb"\xff\xfe\0\x0d" + PROGRAM.encode(),  # the comment
    b"%PDF": rb"<< /Creator \(" + PROGRAM.encode() + rb"\) /Producer \(Matplotlib ",
    b"<?xml": rb"<dc:creator>\s*<cc:Agent>\s*<dc:title>" + PROGRAM.encode() + b"</dc:title>",  # SVG
}
"""First bytes of a figure of each format, and the field of its metadata that matplotlib writes for us."""
FIGURE = OwnFile(noun="a figure of this program", knows=_is_figure)
