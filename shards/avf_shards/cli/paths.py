"""Types of argparse for the paths in arguments, and the mirrors of the addresses among them."""

import argparse
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from avf_shards.errors import UserError
from avf_shards.stores.addresses import (
    MirroredFolder,
    is_address_within,
    is_store_address,
    is_web_address,
    mirrored_folder,
)
from avf_shards.system.mirror_registry import forget_mirrors, renew
from avf_shards.system.own_files import OwnFile, require_replaceable
from avf_shards.text import printable

_Check = TypeVar("_Check", bound=Callable[[str], Any])
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MIRRORED: dict[Path, MirroredFolder] = {}  # folders of stores that the arguments of this process name
_STORED_OUTPUTS: list[tuple[Path, Callable[[], OwnFile]]] = []  # files at addresses to write, and of which kind


def forget_addresses() -> None:
    """Forget the addresses that an earlier command of this process named, and their mirrors."""
    _MIRRORED.clear()
    _STORED_OUTPUTS.clear()
    forget_mirrors()


@contextmanager
def open_named_mirrors() -> Iterator[None]:
    """Read the stores that the arguments name before the body, and write to them after it.

    Raises UserError for a file to write whose address holds a file of another kind.
    """
    if not _MIRRORED:
        yield
        return
    from avf_shards.stores.opening import open_mirrors  # here: it imports pyarrow

    with open_mirrors(_MIRRORED.values()):
        for path, kind in _STORED_OUTPUTS:
            renew(path)
            require_replaceable(path, kind())
        yield


def local_path(text: str) -> Path:
    """Return the path in an argument; argparse calls this function.

    An address such as `s3://bucket/x` becomes the folder of its mirror, which `open_named_mirrors` brings up to date
    before the command, and writes back after it.

    Raises argparse.ArgumentTypeError for an address of another kind, which would become a local folder `http:`.
    """
    if is_store_address(text) or is_web_address(text):
        try:
            mirrored = mirrored_folder(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        _MIRRORED[mirrored.folder] = mirrored
        return mirrored.folder
    if _ADDRESS.match(text):
        raise argparse.ArgumentTypeError(
            f"{text} is an address that this program cannot write to; name a local path, or an address that begins "
            "with s3://, gs:// or az://"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{printable(text)} is not UTF-8, and files of this program name their folders in UTF-8; rename it"
        ) from None
    return Path(text)


def writes_file(check: _Check) -> _Check:
    """Mark a type of argparse as that of a file to write, which is compared with the command's other files."""
    check.writes_file = True  # type: ignore[attr-defined]  # functions take attributes
    return check


def is_output_file(action: argparse.Action) -> bool:
    """Return whether the values of an option are files to write."""
    return getattr(action.type, "writes_file", False)


@writes_file
def output_file(text: str) -> Path:
    """Return the path of a file that a command will write, checked before the work and not after it.

    Raises argparse.ArgumentTypeError for an address, a folder, and a folder that is missing or cannot be written to.
    """
    if is_store_address(text):
        return _stored_file(text)
    path = _writable_path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: no permission; name another path")
    return path


def _writable_path(text: str) -> Path:
    """Return `local_path`, but refuse an address that can only be read."""
    if is_web_address(text):
        raise argparse.ArgumentTypeError(
            f"{text} is an address that can only be read; name a local path, or an address that begins with s3://, "
            "gs:// or az://"
        )
    return local_path(text)


def _stored_file(text: str) -> Path:
    """Return where a file lies here that is to be written to an address; the rest of its folder is not read."""
    folder, _, name = text.rpartition("/")
    if not name:
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if folder.endswith("/"):
        raise argparse.ArgumentTypeError(f"{text} is a bucket; name a file in it")
    try:
        file, mirrored = mirrored_folder(text), mirrored_folder(folder)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    for each in _MIRRORED.values():
        if is_address_within(mirrored.address, each.address):
            return each.folder / file.address.removeprefix(f"{each.address}/")
    _MIRRORED[mirrored.folder] = replace(mirrored, is_read=False)
    return mirrored.folder / name


def own_file(kind: Callable[[], OwnFile]) -> Callable[[str], Path]:
    """Return a type of argparse: as `output_file`, and what stands there already is of a kind.

    `kind` is called for an argument only, because some kinds take long to import.
    """

    @writes_file
    def check(text: str) -> Path:
        path = output_file(text)
        try:
            if is_store_address(text):  # what stands there is seen when the store is asked, before the command
                _STORED_OUTPUTS.append((path, kind))
                return path
            require_replaceable(path, kind())
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return path

    return check


def ending_of(kinds: Mapping[str, OwnFile]) -> Callable[[str], Path]:
    """Return a type of argparse: the path of a file to write, whose ending decides its format.

    kinds: by ending, what the command may replace there.
    """
    endings = list(kinds)

    @writes_file
    def check(text: str) -> Path:
        path = output_file(text)
        own = kinds.get(path.suffix.lower())
        if own is None:
            named = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
            raise argparse.ArgumentTypeError(f"{text} must end in {named}: the ending decides the format")
        return own_file(lambda: own)(text)

    return check


def output_folder(text: str) -> Path:
    """Return the path of a folder that a command will make or write to, checked before the work.

    Raises argparse.ArgumentTypeError for an address, a file, and a folder that cannot be made or written to.
    """
    path = _writable_path(text)
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{existing} is a file, not a folder; name another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: no permission in {existing}; name another folder")
    return path
