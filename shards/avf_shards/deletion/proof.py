"""The proof of a takedown: every file of a run, of shards and of other folders is searched for what was removed.

A file may name it as a tombstone, which is listed with its reason. Any other file that names it is left over.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from avf_shards.deletion.name_search import search_files, search_parquet
from avf_shards.deletion.removed_names import RemovedNames
from avf_shards.errors import FaultError
from avf_shards.format.denylist import is_denylist_name
from avf_shards.format.generations import is_generation_name, is_writers_own
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.run_folder import COORDINATOR, LEDGER, PART, PART_INDEX, PLAN, RunFolder
from avf_shards.packing.pack import PACK
from avf_shards.system.run_lock import lock_files
from avf_shards.system.storage_faults import read_bytes

_NAMED = 20  # files that the error lists; the others are counted
_PARQUET = b"PAR1"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"7z\xbc\xaf": "7z",
}
_RUN_TOMBSTONES = {
    ("plan", PLAN): "the frozen plan: source, id, path and speaker of each input",
    ("ledger", LEDGER): "decisions, which are never changed: source, id, path and digest of each input, and in earlier "
    "attempts keys and measurements of its clips, but neither picture nor sound",
    ("units", LEDGER): "decisions of a unit, as the ledger of its attempt",
    ("units", PART): "keys of erased clips, before the zeros that were their bytes",
    ("units", PART_INDEX): "keys of erased clips, with the offsets of their zeros",
}
_DENIED = "the denylist: hashes of what may not come back"
_LISTED = "tombstones: keys of deleted clips"


class LeftOverError(FaultError):
    """Files that still name what was removed; all else is taken down."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the search of all files told."""

    files: int  # that were searched
    searched_bytes: int  # that were read
    tombstones: dict[str, str]  # file or pattern of files that name what was removed -> why
    unsearched: tuple[str, ...]  # "path (why)" of what could not be searched


def prove_absence(shards: Path | None, run: RunFolder | None, others: Sequence[Path], names: RemovedNames) -> Proof:
    """Search all files of the folders, and return what was searched.

    Args:
        others: folders with caches, pages, reviews and exports that were made elsewhere.

    Raises:
        LeftOverError: a file names what was removed and is no tombstone. All such files are named.
        OSError: a folder or a file cannot be read.
    """
    roots = [root for root in (shards, None if run is None else run.root, *others) if root is not None]
    files, unsearched = _list_files(roots)
    own = set() if run is None else set(lock_files(run.log_folder, COORDINATOR))
    files = [path for path in files if path not in own and not _is_writers(path, shards)]
    magics = {path: read_bytes(path, 8) for path in files}
    plain = [path for path in files if not magics[path].startswith(_PARQUET)]
    searched, holding = search_files(plain, names)
    for path in sorted(set(files) - set(plain)):
        searched += path.stat().st_size
        try:
            name = search_parquet(path, names)
        except pa.ArrowException as error:
            unsearched.append(f"{path} (not readable: {' '.join(str(error).split())[:80]})")
        else:
            if name is not None:
                holding[path] = name
    for path in plain:
        unsearched += [f"{path} ({kind})" for start, kind in _COMPRESSED.items() if magics[path].startswith(start)]
    tombstones: dict[str, str] = {}
    left_over = []
    for path, name in sorted(holding.items()):
        pattern, reason = _explain(path, shards, run)
        if reason:
            tombstones[pattern] = reason
        else:
            left_over.append(f"{path}: still holds {name}")
    if left_over:
        raise LeftOverError(_describe(left_over))
    return Proof(files=len(files), searched_bytes=searched, tombstones=tombstones, unsearched=tuple(sorted(unsearched)))


def _list_files(roots: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the files below the folders, each once, and "path (why)" of what is no file of theirs."""
    files: dict[Path, Path] = {}  # resolved -> as it is reached
    unsearched = []
    for path in (path for root in roots for path in _walk(root)):
        if path.is_symlink():
            unsearched.append(f"{path} (a link)")
        elif path.is_file():
            files.setdefault(path.resolve(), path)
        else:
            unsearched.append(f"{path} (no plain file)")
    return sorted(files.values()), unsearched


def _walk(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error  # a folder that cannot be listed is not empty

    for folder, folders, names in os.walk(root, onerror=fail):
        yield from (Path(folder, name) for name in names)
        yield from (path for path in (Path(folder, name) for name in folders) if path.is_symlink())


def _is_writers(path: Path, shards: Path | None) -> bool:
    """Return whether a file is a marker of this process, or one that it removes at its end."""
    if shards is None or not path.is_relative_to(shards):
        return False
    return is_writers_own(shards / path.relative_to(shards).parts[0])


def _explain(path: Path, shards: Path | None, run: RunFolder | None) -> tuple[str, str]:
    """Return the name of a file in the list of tombstones, and why it may name what was removed; "" for no reason."""
    folder = path.parent
    if run is not None and path.is_relative_to(run.root):
        match path.relative_to(run.root).parts:
            case (attempt, kind, *between, name) if attempt.startswith("attempt-") and (kind, name) in _RUN_TOMBSTONES:
                middle = "/*" if between else ""
                return f"{run.root}/attempt-*/{kind}{middle}/{name}", _RUN_TOMBSTONES[kind, name]
            case (name,) if is_denylist_name(name):
                return f"{run.root}/denylist-*.json", _DENIED
    if folder == shards or (folder / PACK).is_file():  # another pack, in the folder of the run
        if is_denylist_name(path.name):
            return f"{folder}/denylist-*.json", _DENIED
        if path.name == MANIFEST or is_generation_name(path.name):
            return f"{folder}/manifest*.json", _LISTED
    return str(path), ""


def _describe(left_over: list[str]) -> str:
    more = f"\n...and {len(left_over) - _NAMED} more" if len(left_over) > _NAMED else ""
    lines = "\n".join(left_over[:_NAMED])
    return (
        f"{lines}{more}\nall else is taken down; remove these files, or make them anew (shards: with avf-shards delete "
        "there), and start the same command again"
    )
