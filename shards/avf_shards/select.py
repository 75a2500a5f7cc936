"""Which kept clips go into training shards: per-source quota and seeded order, stricter thresholds.

Knows no stage: it compares the score / operator / threshold triples that the ledger stores.
"""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.errors import UserError
from avf_shards.settings import bind

Order = Literal["shuffled", "ledger"]


@dataclass(frozen=True)
class SourceSelection:
    """One source's share. `quota`: clips at most (absent: all). `thresholds` override the general ones."""

    quota: int | None = None
    order: Order = "shuffled"
    thresholds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.quota is not None and self.quota < 0:
            raise ValueError(f"quota {self.quota} is negative")


@dataclass(frozen=True)
class Selection:
    """A selection file (TOML). Without `sources` every source is taken whole.

    `thresholds` maps "stage/reason" to a stricter limit than the run's: `"sync/low_confidence" = 4.0`.
    """

    seed: int = 0
    clips_per_shard: int = 512
    thresholds: dict[str, float] = field(default_factory=dict)
    sources: dict[str, SourceSelection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.clips_per_shard < 1:
            raise ValueError(f"clips_per_shard {self.clips_per_shard} is less than 1")


@dataclass(frozen=True)
class SourceChoice:
    """What the selection found for one source. `asked` is None where there is no quota."""

    asked: int | None
    kept: int
    duplicates: int
    below_threshold: int
    taken: int

    @property
    def short(self) -> int:
        return max(0, (self.asked or 0) - self.taken)


@dataclass(frozen=True)
class Choice:
    """The chosen clips in shard order per source: (key, generation, unit), and the account of each source."""

    clips: dict[str, list[tuple[str, int, int]]]
    sources: dict[str, SourceChoice]


def load_selection(path: Path | None) -> Selection:
    """The selection file at `path`; None takes all that was kept. Raises UserError."""
    if path is None:
        return Selection()
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read the selection file ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file ({error})") from None
    return bind(Selection, values, path.name)


def choose(table: pa.Table, selection: Selection) -> Choice:
    """Apply `selection` to a ledger. Raises UserError for unknown sources, unknown checks and laxer thresholds."""
    kept = table.filter(pc.equal(table["status"], "kept"))
    known = sorted(set(table["source"].unique().to_pylist()))
    for name in selection.sources:
        if name not in known:
            raise UserError(f"sources.{name}: the run has no such source; it has {', '.join(known) or 'none'}")
    _check_names(kept, selection)
    clips: dict[str, list[tuple[str, int, int]]] = {}
    account: dict[str, SourceChoice] = {}
    for name in known:
        if selection.sources and name not in selection.sources:
            continue
        wanted = selection.sources.get(name, SourceSelection())
        mine = kept.filter(pc.equal(kept["source"], name))
        strict = _passes(mine, selection.thresholds | wanted.thresholds, name)
        below = mine.num_rows - strict.num_rows
        rows, duplicates = _clips(strict)
        if wanted.order == "shuffled":
            rows.sort(key=lambda row: _lot(selection.seed, row[0]))
        taken = rows if wanted.quota is None else rows[: wanted.quota]
        clips[name] = taken
        account[name] = SourceChoice(wanted.quota, len(rows) + duplicates + below, duplicates, below, len(taken))
    return Choice(clips, account)


def _lot(seed: int, key: str) -> bytes:
    """A clip's place in the seeded order depends on nothing but the seed and its key."""
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()


def _clips(kept: pa.Table) -> tuple[list[tuple[str, int, int]], int]:
    """(key, generation, unit) of each clip; the same span of the same bytes is taken once, under its first name."""
    seen: set[tuple[Any, ...]] = set()
    rows: list[tuple[str, int, int]] = []
    duplicates = 0
    columns: Iterable[list[Any]] = (
        kept[name].to_pylist() for name in ("clips", "generation", "unit", "input_sha256", "start_frame", "stop_frame")
    )
    for keys, generation, unit, digest, start, stop in zip(*columns, strict=True):
        if digest is not None and (digest, start, stop) in seen:
            duplicates += len(keys)
            continue
        seen.add((digest, start, stop))
        rows.extend((key, generation, unit) for key in keys)
    return rows, duplicates


def _flat_checks(table: pa.Table) -> tuple[np.ndarray[Any, Any], pa.StructArray]:
    """Row number of each check, and all checks in one array."""
    column = table["checks"].combine_chunks()
    checks = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
    if isinstance(checks, pa.ChunkedArray):
        return np.zeros(0, np.int64), pa.array([], column.type.value_type)
    return checks.value_parent_indices().to_numpy(), checks.flatten()


def _names(checks: pa.StructArray) -> pa.Array:
    return pc.binary_join_element_wise(checks.field("stage"), checks.field("reason"), "/")


def _check_names(kept: pa.Table, selection: Selection) -> None:
    asked = set(selection.thresholds).union(*(source.thresholds for source in selection.sources.values()))
    if not asked or not kept.num_rows:
        return
    known = set(pc.unique(_names(_flat_checks(kept)[1])).to_pylist())
    for name in sorted(asked - known):
        raise UserError(
            f"thresholds.{name!r}: no kept clip was checked for that; checks are {', '.join(sorted(known))}"
        )


def _passes(kept: pa.Table, thresholds: dict[str, float], source: str) -> pa.Table:
    """The rows that hold under the stricter thresholds too. A null score (could not tell) is not a rejection."""
    if not thresholds or not kept.num_rows:
        return kept
    row_of, checks = _flat_checks(kept)
    names, fails = _names(checks), np.zeros(kept.num_rows, bool)
    for name, limit in thresholds.items():
        here = pc.equal(names, name).to_numpy(zero_copy_only=False)
        if not here.any():
            continue
        mine = checks.filter(pa.array(here))
        at_most = pc.equal(mine.field("operator"), "<=").to_numpy(zero_copy_only=False)
        stored = mine.field("threshold").to_numpy(zero_copy_only=False)
        if np.any(np.where(at_most, limit > stored, limit < stored)):
            raise UserError(
                f"thresholds.{name!r} = {limit}: laxer than {stored[0]:g}, at which {source} was curated; "
                "what was rejected there has no clip. Curate again with the laxer one, or ask for a stricter one"
            )
        score = mine.field("score").to_numpy(zero_copy_only=False).astype(float)
        with np.errstate(invalid="ignore"):
            bad = np.where(at_most, score > limit, score < limit)  # NaN compares false: not a rejection
        fails[row_of[here][bad]] = True
    return kept.filter(pa.array(~fails))
