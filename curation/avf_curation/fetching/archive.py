"""The archive of a download: what came of each file, OUT/.fetch/archive.tsv.

A line is outcome, path and reason, with tabs between; the newest line of a path counts. The last line of a killed
process may be torn: it counts if only its reason is, and the next line begins on a line of its own.
"""

from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system.named_writes import append_text
from avf_shards.system.storage_faults import read_bytes
from avf_shards.text import printable

from avf_curation.fetching.outcomes import KINDS, FetchOutcome

_HEADER = "# avf-curate fetch, archive 1"
_MAX_BYTES = 2_000_000_000


class Archive:
    """What came of each file so far; `add` writes and remembers."""

    def __init__(self, path: Path) -> None:
        """Read the archive where there is one. Raises UserError for a file of another kind or of a newer version."""
        self._path = path
        self.outcomes: dict[str, FetchOutcome] = {}
        self._prefix = f"{_HEADER}\n"
        if not path.exists():
            return
        text = read_bytes(path, _MAX_BYTES).decode("utf-8", "replace")
        lines = text.split("\n")
        if text and lines[0] != _HEADER and not _HEADER.startswith(text):  # a kill may tear the first line too
            raise UserError(f"{path}: is no archive of this version of avf-curate fetch; move it away to begin anew")
        if len(lines) == 1:  # nothing but a part of the first line
            path.unlink()
            return
        self._prefix = "\n" if lines[-1] else ""
        for line in lines[1:]:
            self._take(line)

    def _take(self, line: str) -> None:
        kind, *rest = line.split("\t")
        if len(rest) == 2 and kind in KINDS:
            self.outcomes[rest[0]] = FetchOutcome(kind=next(known for known in KINDS if known == kind), reason=rest[1])

    def add(self, path: str, outcome: FetchOutcome) -> None:
        """Write what came of the file `path`. Raises OSError, which names the archive."""
        reason = printable(" ".join(outcome.reason.split()))
        with append_text(self._path) as file:
            file.write(f"{self._prefix}{outcome.kind}\t{path}\t{reason}\n")
        self._prefix = ""
        self.outcomes[path] = FetchOutcome(kind=outcome.kind, reason=reason)
