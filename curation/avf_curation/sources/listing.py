"""Listings of a source's folders, in which every entry that a corpus should not hold is noted.

Links inside the corpus are followed. One that leads out of it is noted and left alone unless the user allows it: what
came from outside could else name any file of this machine.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.sources.types import SkippedInput, utf8_name

log = logging.getLogger(__name__)

LabelKey = tuple[str, str]  # id of an input, and the task of labels of its frames
OUTSIDE = "outside"  # kind of a link that leads out of the corpus, which was not followed
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|gz|rar|7z)$|_part", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file or folder below a source's root."""

    name: str  # last part of `path`
    path: str  # relative to the source's root
    is_folder: bool  # also for a link that leads to a folder
    size_bytes: int  # 0 for a broken link
    mtime_ns: int  # nanoseconds since 1970; 0 for a broken link

    @property
    def stat_fields(self) -> dict[str, Any]:
        """Path, size and time of the file, as keyword arguments of `Video`."""
        return {"path": self.path, "size_bytes": self.size_bytes, "mtime_ns": self.mtime_ns}

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """The file that labels of frames come from."""

    path: str  # below the source's root
    line_of: Callable[[int], int | None]  # frame -> its line; None where the file has no such line


class Listing:
    """Lists the folders of one source and appends every entry that is no input to `skipped_inputs`."""

    def __init__(
        self, source: str, root: Path, skipped_inputs: list[SkippedInput], *, follow_symlinks: bool = False
    ) -> None:
        """Prepare to list a source.

        Args:
            root: the source's folder, which may itself be a link.
            follow_symlinks: also follow links that lead out of `root`.
        """
        self.source, self.root, self.skipped_inputs = source, root, skipped_inputs
        self._follow_symlinks, self._real_root = follow_symlinks, os.path.realpath(root)
        self.outside_links: set[str] = set()  # noted, and not followed
        self.label_files: dict[LabelKey, LabelFile] = {}  # by the sources whose inputs have labels of frames

    def skip(self, kind: str, path: str, reason: str) -> None:
        """Note a file or a row that is no input; `kind` is one of those of SkippedInput."""
        log.debug("%s: skipped %s (%s): %s", self.source, utf8_name(path), kind, reason)
        self.skipped_inputs.append(SkippedInput(source=self.source, path=utf8_name(path), reason=reason, kind=kind))

    def skip_unreadable(self, path: str, error: OSError) -> None:
        """Note a folder or file that cannot be read. A plan is refused where there is one, unless allowed.

        Raises UserError for the source's own folder: no plan can do without it.
        """
        if not path:
            raise UserError(
                f"--source {self.source}={self.root}: the folder cannot be read ({error.strerror}); mend the disk or "
                "the permissions"
            )
        self.skip("unreadable", path, f"cannot be read ({error.strerror})")

    def skips_link(self, path: str) -> bool:
        """Return whether a link on the way to `path`, below the source's root, leads out of it and is not followed.

        The link is noted, once. One that is broken or leads to itself counts by what it names.
        """
        link = self._find_outside_link(path)
        if link is not None and link not in self.outside_links:  # sources ask for some folders more than once
            self.outside_links.add(link)
            self.skip(OUTSIDE, link, "a link that leads out of the corpus; --follow-symlinks follows it")
        return link is not None

    def _find_outside_link(self, path: str) -> str | None:
        """Return the first link on the way to `path` that leads out of the corpus; None where such are followed."""
        if self._follow_symlinks:
            return None
        below = PurePosixPath(path)
        for step in (*reversed(below.parents[:-1]), below):  # without the root itself
            real = os.path.realpath(self.root / step) if os.path.islink(self.root / step) else self._real_root
            if not Path(real).is_relative_to(self._real_root):
                return str(step)
        return None

    def locate(self, path: str) -> Path:
        """Return where a list or table of the corpus lies.

        Raises UserError for a link that leads out of the corpus: what it names would be read, and shown in errors.
        """
        if self._find_outside_link(path) is not None:
            raise UserError(
                f"--source {self.source}={self.root}: {path} is a link that leads out of the corpus; put the file "
                "there itself, or allow such links with --follow-symlinks"
            )
        return self.root / path

    def has_file(self, path: str) -> bool:
        """Return whether there is a file `path` below the source's root."""
        return (self.root / path).is_file()

    def has_folder(self, path: str) -> bool:
        """Return whether there is a folder `path` below the source's root, and no link to one outside."""
        return (self.root / path).is_dir() and not self.skips_link(path)

    def list_entries(self, folder: str, pattern: str, expected: str) -> Iterator[ListedFile]:
        """Yield the entries of `folder` whose name matches `pattern`, sorted by name; note all others.

        Args:
            pattern: regular expression that must match the complete name.
            expected: name of the entries that belong into the folder, for the reason of an entry that does not match.
        """
        if folder and self.skips_link(folder):
            return
        matcher = re.compile(pattern)
        try:
            with os.scandir(self.root / folder) as entries:
                ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.skip_unreadable(folder, error)
            return
        for entry in ordered:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink() and self.skips_link(path):
                continue
            if matcher.fullmatch(entry.name):
                try:
                    yield _make_listed_file(entry, path)
                except OSError as error:
                    self.skip_unreadable(path, error)
            elif entry.name.startswith("."):
                self.skip("hidden", path, "hidden")
            elif _ARCHIVE.search(entry.name):
                self.skip("packed", path, "an archive: unpack it, or move it out of the folder")
            else:
                self.skip("unexpected", path, f"is no {expected}")

    def files_by_stem(self, folder: str, pattern: str, expected: str) -> dict[str, ListedFile]:
        """Return stem (name without extension) -> entry that matches; note a second file of the same stem.

        The result is empty where there is no such folder.
        """
        if not self.has_folder(folder):
            return {}
        files: dict[str, ListedFile] = {}
        for file in self.list_entries(folder, pattern, expected):
            if file.stem in files:
                self.skip("duplicate", file.path, f"the same name as {files[file.stem].path}")
            else:
                files[file.stem] = file
        return files

    def find_base(self, folder: str, subfolder: str) -> str:
        """Return the prefix below which `subfolder` lies: "" or "`folder`/".

        Raises:
            UserError: neither folder has it, so the tree is not laid out as the owners distribute it.
        """
        for base in ("", folder):
            if self.has_folder(f"{base}/{subfolder}" if base else subfolder):
                log.info("%s: %s lies in %s", self.source, subfolder, self.root / base)
                return f"{base}/" if base else ""
        raise UserError(
            f"--source {self.source}={self.root}: there is no folder {subfolder}/ in it or in its {folder}/; "
            f"`avf-curate sources ls` shows the owners' layout"
        )


def _make_listed_file(entry: "os.DirEntry[str]", path: str) -> ListedFile:
    try:
        stat = entry.stat()
        is_folder, size_bytes, mtime_ns = entry.is_dir(), stat.st_size, stat.st_mtime_ns
    except OSError as error:  # a broken link stays an input, so that the run reports that it cannot be read
        raise_machine_fault(error)
        is_folder, size_bytes, mtime_ns = False, 0, 0
    return ListedFile(name=entry.name, path=path, is_folder=is_folder, size_bytes=size_bytes, mtime_ns=mtime_ns)
