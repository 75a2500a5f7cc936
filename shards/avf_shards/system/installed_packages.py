"""What installed packages add by entry points: listed without an import, and loaded by name with every fault in words.

The code of a package runs with the rights of the user, as that of any installed package does.
"""

import contextlib
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avf_shards.errors import UserError
from avf_shards.text import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


_MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A thing that a package adds, by its name."""

    name: str  # that users type
    entry: "EntryPoint"  # its value is MODULE, or MODULE:ATTRIBUTE
    project: str  # name of the package, as pip has it
    version: str  # of the package

    @property
    def package(self) -> str:
        """Name and version of the package."""
        return f"{self.project} {self.version}".strip()


@functools.cache
def list_additions(group: str) -> dict[str, tuple[Addition, ...]]:
    """Return what installed packages add to a group of entry points, by name, without importing any of it."""
    from importlib.metadata import entry_points  # imported here: commands that answer from files start without it

    additions: dict[str, dict[tuple[str, str], Addition]] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        project, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.value, "")
        # A folder that is on the path twice has each of its packages twice.
        addition = Addition(name=entry.name, entry=entry, project=project, version=version)
        additions.setdefault(entry.name, {}).setdefault((project, entry.value), addition)
    return {name: tuple(rivals.values()) for name, rivals in additions.items()}


def find_addition(group: str, name: str, where: str, kind: str) -> Addition | None:
    """Return what an installed package adds under a name, or None where none does. Raises UserError for two of them.

    Args:
        where: what the user gave, for messages, as "--source talks=...".
        kind: what the group holds, as "corpus".
    """
    rivals = list_additions(group).get(name, ())
    if len(rivals) > 1:
        packages = " and ".join(rival.package for rival in rivals)
        raise UserError(f"{where}: {packages} each add a {kind} of this name; uninstall all of them but one")
    return rivals[0] if rivals else None


def load_addition(addition: Addition, where: str, kind: str, check_name: Callable[[str], object]) -> object:
    """Import what a package adds and return it. What its modules print goes to standard error: answers are JSON.

    Args:
        addition: as `find_addition` returned it.
        where: what the user gave, for messages.
        kind: what the group holds, as "corpus".
        check_name: raises an error for a name that cannot be used; the package is not imported then.

    Raises:
        UserError: the package cannot be imported, needs another one that is not installed, or has a name that cannot
            be used.
    """
    try:
        check_name(addition.name)
        with contextlib.redirect_stdout(sys.stderr):
            return addition.entry.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        own = addition.entry.module.partition(".")[0]
        advice = f"install {missing}, which it needs" if missing and missing != own else "install it anew"
        raise UserError(unusable(addition, where, kind, error, advice)) from error
    except KeyboardInterrupt:
        raise
    except (
        BaseException
    ) as error:  # whatever a strange module raises as it is imported; a panic of Rust is none of ours
        raise UserError(unusable(addition, where, kind, error)) from error


def unusable(addition: Addition, where: str, kind: str, error: object, advice: str = "upgrade or uninstall it") -> str:
    """Return the message for a package whose addition cannot be used.

    Args:
        addition: the thing that the package adds.
        where: what the user gave.
        kind: what the group holds.
        error: why it cannot be used.
        advice: what the user can do.
    """
    cause = error_text(error)
    return (
        f"{where}: the package {addition.package} adds this {kind} and cannot be used ({cause}); {advice}, or tell "
        "its owners"
    )


def error_text(error: object) -> str:
    """Return what an error of foreign code says, in at most 500 characters that a terminal and a file can hold.

    An error that cannot even be put into words is named by its type.
    """
    try:
        text = str(error)
    except Exception:  # of the error's own __str__
        return f"{type(error).__name__} without words"
    lines = (printable(line) for line in text[:_MAX_ERROR_CHARACTERS].split("\n"))
    return "\n".join(lines) + ("..." if len(text) > _MAX_ERROR_CHARACTERS else "")


def code_digest(addition: Addition) -> str:
    """Return the start of the SHA-256 of all files of the package that an addition is in: names, code and data.

    Raises UserError for a package that is no folder of files, whose code nobody could compare.
    """
    root = _find_files(addition.entry.module)
    if root is None:
        raise UserError(f"{addition.package}: is not installed as a folder of files; install it with pip")
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root.parent)
        if "__pycache__" not in name.parts and path.suffix != ".pyc":
            data = path.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()[:16]


def _find_files(module: str) -> Path | None:
    """Return the folder of the outermost package of a module that is no namespace, or the file of the module."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:count]))
        if spec is not None and spec.origin is not None:  # a namespace has no file of its own
            path = Path(spec.origin)
            if not path.is_file():
                return None
            return path.parent if spec.submodule_search_locations else path
    return None
