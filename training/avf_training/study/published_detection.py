"""What the extended paper on AVF-MAE++ prints of its applications (5.9, Tables 27 to 30), and its contradictions.

These are data, shown beside results and never aimed at: the test sets are not named.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avf_shards.settings.config import bind

_FILE = Path(__file__).parent / "published_detection.json"


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """A row of a table, as printed."""

    name: str  # of the system
    values: tuple[str, ...]  # of each metric


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table of the paper."""

    number: int  # in the paper
    title: str
    metrics: tuple[str, ...]  # heads of the columns
    rows: tuple[PrintedRow, ...]  # in the order of the paper


@dataclass(frozen=True, kw_only=True)
class PrintedTables:
    """The four tables, and sentences about what cannot be true of them."""

    tables: tuple[PrintedTable, ...]
    contradictions: tuple[str, ...]


@cache
def printed_tables() -> PrintedTables:
    """Return what is printed. Raises UserError where the file is damaged."""
    return bind(PrintedTables, json.loads(_FILE.read_text("utf-8")))
