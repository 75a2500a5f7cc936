"""Records in JSON that commands read back. A damaged one, or one of other programs, is one sentence with the fix."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import SCHEMA_VERSION, FileKind, check_version, read_json, refuse_newer_version
from avf_shards.settings.config import T, bind


def read_json_record(path: Path, kind: FileKind, remedy: str) -> dict[str, Any]:
    """Return the values of a record without its version.

    Raises UserError with the path and the remedy for what is no such record.
    """
    with add_remedy(path, remedy):
        values = read_json(path)
    refuse_newer_version(values, kind, str(path))
    with add_remedy(path, remedy):
        check_version(values, kind, str(path))
    values.pop(SCHEMA_VERSION)
    return values


def bind_json_record(cls: type[T], path: Path, kind: FileKind, remedy: str) -> T:
    """Return a record as a dataclass. Raises UserError as `read_json_record`."""
    values = read_json_record(path, kind, remedy)
    with add_remedy(path, remedy):
        return bind(cls, values)


@contextmanager
def add_remedy(path: Path, remedy: str) -> Iterator[None]:
    """Raise UserError with the first of the faults that are raised inside the block, the path, and the remedy."""
    try:
        yield
    except (FaultError, UserError) as error:
        first, *others = str(error).splitlines() or [""]
        where = "" if str(path) in first else f"{path}: "
        more = f", and {len(others)} {'fault' if len(others) == 1 else 'faults'} more" if others else ""
        raise UserError(f"{where}{first}{more}; {remedy}") from None
