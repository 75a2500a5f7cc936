"""Name the entries of `--deny` that match nothing: a mistyped id forbids nobody."""

import logging
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from avf_shards.deletion.requests import read_deny_words
from avf_shards.format.denied_inputs import known_denials
from avf_shards.format.denylist import Denylist
from avf_shards.text import printable

log = logging.getLogger(__name__)
_NAMED = 20  # entries of a list that are named; the others are counted


def warn_unmatched(paths: Iterable[Path], table: pa.Table) -> None:
    """Log each entry of the lists that names no input of a ledger or a plan, and how many of other denylists do not.

    A denylist of another run or of shards holds hashes, and mostly names what is not here; a list is written for here.
    A plan has no digests of inputs, so that entries of content are passed over there.
    """
    for path in paths:
        words = read_deny_words(path)
        if "input_sha256" not in table.column_names:
            words = {denial: word for denial, word in words.items() if denial.kind != "content"}
        known = known_denials(table, Denylist(denials=tuple(words)))
        unmatched = [word for denial, word in words.items() if denial not in known]
        named = [word for word in unmatched if word]
        for word in named[:_NAMED]:
            log.warning("--deny %s: no input is %s; is it mistyped?", printable(str(path)), printable(word))
        if len(named) > _NAMED:
            log.warning("--deny %s: and %d more", printable(str(path)), len(named) - _NAMED)
        if len(unmatched) > len(named):
            log.info(
                "--deny %s: %d of %d entries match no input here",
                printable(str(path)),
                len(unmatched) - len(named),
                len(words),
            )
