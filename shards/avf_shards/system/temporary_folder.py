"""Temporary folders of this program, told from a user's own by a marker file in them.

A name such as `tmp` says nothing about who made the folder. What lies in it is removed only where the marker is.
"""

import re
import shlex
from contextlib import suppress
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system import durable_io

MARKER = ".avf-foundry-temporary"
#: Names in temporary folders of versions that left no marker: folders of units, plans and ledgers; files of shards.
_LEFT_BEHIND = re.compile(
    r"[a-z-]+(?:-\d+)?-\d+-[0-9a-f]{8}|[a-z0-9_]+-\d{6,}(?:-r\d+)?\.(?:tar|index\.json)|pack\.json|manifest\.json|"
    r"selection\.parquet|shard\.tar"
)
_TEXT = b"A temporary folder of avf-foundry. All that lies in it may be removed at any time.\n"


def claim_temporary_folder(folder: Path) -> None:
    """Make the folder, or take it over from an earlier process of this program.

    Raises UserError where it holds files and no marker: they may be somebody else's.
    """
    names = _names(folder)
    if MARKER in names:
        return
    if names and all(map(_LEFT_BEHIND.fullmatch, names)):
        raise UserError(
            f"{folder}: holds what a killed process of a version before 0.3 seems to have left ({min(names)}), which "
            f"had no marker; when no such process is at work, remove it with: rm -r {shlex.quote(str(folder))}"
        )
    if names:
        raise UserError(
            f"{folder}: holds files ({min(names)}) and has no marker of this program (a version before 0.3 left none), "
            "so they may be somebody's, and this program needs the name; move that folder away, or name another output "
            "folder"
        )
    durable_io.make_folder(folder)
    # Another worker of the same run was first, or the process that holds the run has just cleared the folder.
    with suppress(FileExistsError, FileNotFoundError):
        durable_io.write(folder / MARKER, _TEXT)


def clear_temporary_folder(folder: Path) -> None:
    """Remove the folder with everything in it where it is this program's; leave any other folder as it is."""
    names = _names(folder)
    if MARKER not in names:
        return
    for name in sorted(names - {MARKER}):  # the marker last: after a kill, the rest still belongs to this program
        durable_io.remove(folder / name)
    durable_io.remove(folder)


def is_temporary_folder(folder: Path) -> bool:
    """Return whether the folder is this program's, or empty."""
    return folder.is_dir() and (MARKER in (names := _names(folder)) or not names)


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise UserError(f"{folder}: is a file, and this program needs a folder of that name; move the file") from None
