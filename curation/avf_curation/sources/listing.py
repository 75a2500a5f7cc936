"""What is on disk: one listing per folder, links followed, everything told that is not what a corpus should hold."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError

from avf_curation.sources.types import SkippedInput, is_readable

_ARCHIVE = re.compile(r"\.(zip|tar|tgz|gz|rar|7z)$|_part", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file or folder below a source's root; `path` is relative to it."""

    name: str
    path: str
    folder: bool
    size_bytes: int
    mtime_ns: int

    @property
    def file(self) -> dict[str, Any]:
        """What an input says of the file it is."""
        return {"path": self.path, "size_bytes": self.size_bytes, "mtime_ns": self.mtime_ns}

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name


class Listing:
    """Lists folders of one source and notes what is skipped."""

    def __init__(self, source: str, root: Path, skipped_inputs: list[SkippedInput]) -> None:
        self.source, self.root, self._skipped_inputs = source, root, skipped_inputs

    def note(self, kind: str, path: str, why: str) -> None:
        """One thing that is no input."""
        self._skipped_inputs.append(SkippedInput(source=self.source, path=is_readable(path), reason=why, kind=kind))

    def has(self, path: str) -> bool:
        """Whether there is such a folder."""
        return (self.root / path).is_dir()

    def entries(self, below: str, wanted: str, what: str) -> Iterator[ListedFile]:
        """What matches the expression `wanted` in folder `below`, sorted; `what` names it where something does not."""
        pattern = re.compile(wanted)
        try:
            with os.scandir(self.root / below) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.note("unexpected", below, f"folder cannot be read ({error.strerror})")
            return
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if pattern.fullmatch(entry.name):
                found = _found(entry, path)
                yield found
            elif entry.name.startswith("."):
                self.note("hidden", path, "hidden")
            elif _ARCHIVE.search(entry.name):
                self.note("packed", path, "an archive; unpack it, or take it away")
            else:
                self.note("unexpected", path, f"is no {what}")

    def by_stem(self, below: str, wanted: str, what: str) -> dict[str, ListedFile]:
        """The files that match, by name without extension; a second file of a stem is noted. A folder that is not
        there has none."""
        if not self.has(below):
            return {}
        found: dict[str, ListedFile] = {}
        for one in self.entries(below, wanted, what):
            if one.stem in found:
                self.note("duplicate", one.path, f"the same name as {found[one.stem].path}")
            else:
                found[one.stem] = one
        return found

    def base(self, folder: str, holds: str) -> str:
        """ "" or `folder`, whichever has `holds` below it. Raises UserError naming what a tree should look like."""
        for base in ("", folder):
            if self.has(f"{base}/{holds}" if base else holds):
                return f"{base}/" if base else ""
        raise UserError(
            f"--source {self.source}={self.root}: no {holds}/ in it or in its {folder}/; "
            f"the owners' layout is described by avf-curate sources ls"
        )


def _found(entry: "os.DirEntry[str]", path: str) -> ListedFile:
    try:
        stat = entry.stat()
        return ListedFile(
            name=entry.name, path=path, folder=entry.is_dir(), size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
        )
    except OSError:  # a broken link: an input that cannot be read
        return ListedFile(name=entry.name, path=path, folder=False, size_bytes=0, mtime_ns=0)
