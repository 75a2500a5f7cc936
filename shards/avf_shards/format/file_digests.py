"""Digests of the files that are committed to a run, and the sealed list of them beside an attempt's ledger.

A Parquet reader notices a flipped bit in a page that has a checksum, and none in the footer, in the header of a page or
in a file of an older version. So each file of a run is listed with its SHA-256 in a small JSON file beside it, which
holds a digest of itself: unit.json, plan.json, ledger.json.
"""

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.errors import FaultError
from avf_shards.format.manifest import seal, unseal
from avf_shards.format.tar import sha256_file
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import FileKind, read_parquet
from avf_shards.system.storage_faults import read_bytes


@dataclass(frozen=True, kw_only=True)
class LedgerDigests:
    """The ledger.json of a finished attempt."""

    attempt: int  # number of the attempt
    file_sha256: dict[str, str]  # of the ledger, by file name

    def to_json(self) -> bytes:
        """Return the file's content; the same digests give the same bytes."""
        return seal(asdict(self), "attempt ledger")

    @classmethod
    def read(cls, path: Path) -> "LedgerDigests | None":
        """Return the digests in a file; None without one, as version 0.2 wrote it. Raises FaultError for damage."""
        try:
            data = read_bytes(path)
        except FileNotFoundError:
            return None
        fields = Fields(unseal(data, "attempt ledger", str(path)), str(path))
        return cls(attempt=fields.integer("attempt"), file_sha256=fields.texts("file_sha256"))


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def check_file(path: Path, file_sha256: dict[str, str], kind: FileKind | None = None) -> None:
    """Raise FaultError unless the file has the digest that is listed under its name; one that is not listed passes.

    kind: of a Parquet file. One of another version is refused as such, with UserError, and not as damaged.
    """
    expected = file_sha256.get(path.name)
    if expected is None or sha256_file(path) == expected:
        return
    if kind is not None:
        with suppress(FaultError):
            read_parquet(path, kind, [])
    raise FaultError(f"{path}: damaged (its SHA-256 is not the recorded {expected[:12]}...)")
