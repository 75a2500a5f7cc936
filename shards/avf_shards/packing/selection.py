"""Select the kept clips that go into training shards: quotas, a seeded order and stricter thresholds per source.

This module knows no stage: it compares the score / operator / threshold triples that the ledger stores.
"""

import itertools
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.errors import UserError
from avf_shards.format.denied_inputs import denied_rows, is_time_range
from avf_shards.format.denylist import NOTHING_DENIED, Denylist
from avf_shards.packing.near_duplicates import Fingerprint, NearDuplicateConfig, NearDuplicateIndex
from avf_shards.sampling.hash_draw import priority
from avf_shards.schema.check_columns import flatten_checks
from avf_shards.schema.ledger import RANGE_COLUMNS
from avf_shards.schema.versions import versioned_schema
from avf_shards.settings.config import bind
from avf_shards.system.storage_faults import read_text
from avf_shards.timeline import FRAMES_PER_SECOND

ClipOrder = Literal["shuffled", "speakers", "ledger"]


@dataclass(frozen=True, kw_only=True)
class SourceSelection:
    """The quota of one source, the order in which its clips are selected, and its thresholds."""

    quota: int | None = None  # clips at most; None: all
    #: "shuffled": by seeded priority. "speakers": the same, with one clip of each speaker (of each group where no
    #: speaker is known) before the second clip of any. "ledger": in the order of the ledger.
    order: ClipOrder = "shuffled"
    thresholds: dict[str, float] = field(default_factory=dict)  # "stage/reason" -> limit, over the general ones

    def __post_init__(self) -> None:
        if self.quota is not None and self.quota < 0:
            raise ValueError(f"quota {self.quota} is negative")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A selection file (TOML)."""

    seed: int = 0  # of the priority of each clip
    clips_per_shard: int = 512  # at most; the last shard of a source may hold fewer
    #: "stage/reason" -> a stricter limit than the run's, as `"sync/low_confidence" = 4.0`.
    thresholds: dict[str, float] = field(default_factory=dict)
    sources: dict[str, SourceSelection] = field(default_factory=dict)  # by name; empty: every clip of every source
    near_duplicates: NearDuplicateConfig | None = None  # rejects the sound of a selected clip; None: no search for it
    absent_sources: Literal["refuse", "report"] = "refuse"  # a source that the run lacks: an error, or a shortfall

    def __post_init__(self) -> None:
        if self.clips_per_shard < 1:
            raise ValueError(f"clips_per_shard {self.clips_per_shard} is less than 1")


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """Counts of clips of one source."""

    quota: int | None  # clips requested of the source; None: all clips
    kept: int  # clips that the run kept
    duplicates: int  # rejected: the same span of the same bytes as another clip
    below_threshold: int  # rejected by a stricter threshold of the selection
    near_duplicates: int  # rejected: the sound of a selected clip
    selected: int  # go into the shards
    denied: int = 0  # rejected: on the denylist, and not deleted from the run yet

    @property
    def available(self) -> int:
        """Number of clips that a large enough quota would have selected."""
        return self.kept - self.denied - self.duplicates - self.below_threshold - self.near_duplicates

    @property
    def short(self) -> int:
        """Number of clips by which the source misses its quota; 0 without a quota."""
        return max(0, (self.quota or 0) - self.selected)


@dataclass(frozen=True, kw_only=True)
class RejectedClip:
    """A kept clip that is not selected."""

    key: str  # of the clip
    reason: str  # name of the threshold that it fails, "denied", "same_bytes", "near_duplicate" or "quota"
    duplicate_of: str | None = None  # key of the clip that it duplicates; None: it is no duplicate
    score: float | None = None  # share of differing bits; None unless a near-duplicate
    threshold: float | None = None  # that the clip failed, or the largest share of differing bits; None: no such limit


@dataclass(frozen=True, kw_only=True)
class SelectionResult:
    """The clips that a selection takes from a run, and those that it rejects."""

    clips: dict[str, list[tuple[str, int, int]]]  # source -> (key, attempt, unit) in the order of the shards
    sources: dict[str, SourceCounts]  # by name
    rejected: tuple[RejectedClip, ...] = ()  # kept clips of the run that are not selected

    def as_table(self) -> pa.Table:
        """Return a row for each kept clip, selected or with the reason why not, sorted by key."""
        rows = [{"key": row[0], "selected": True} for clips in self.clips.values() for row in clips]
        rows += [asdict(clip) | {"selected": False} for clip in self.rejected]
        return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["key"])), schema=SELECTION_SCHEMA)


SELECTION_SCHEMA = versioned_schema(
    [
        ("key", pa.string()),
        ("selected", pa.bool_()),
        ("reason", pa.string()),
        ("duplicate_of", pa.string()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
    ],
    "selection",
)


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A kept clip while the selection is made."""

    key: str  # clip key
    attempt: int  # number of the attempt that decided its video
    unit: int  # number in the attempt's plan
    group_id: str  # of its video
    speaker_or_group: str  # of whom one clip is selected per round when the order is "speakers"
    priority: bytes  # position in the seeded order


def load_selection(path: Path | None) -> Selection:
    """Read a selection file; without a path return a selection of every kept clip. Raises UserError."""
    if path is None:
        return Selection()
    try:
        values: dict[str, Any] = tomllib.loads(read_text(path))
    except OSError as error:
        raise UserError(f"{path}: cannot read the selection file ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file ({error})") from None
    except RecursionError:
        raise UserError(f"{path}: not a TOML file (nested too deeply)") from None
    return bind(Selection, values, path.name)


def select_clips(
    table: pa.Table,
    selection: Selection,
    fingerprints: Mapping[str, Fingerprint] | None = None,
    denylist: Denylist = NOTHING_DENIED,
) -> SelectionResult:
    """Select clips of a ledger.

    Args:
        denylist: what it forbids is left out before anything else.
        fingerprints: clip -> fingerprint of its sound, for `near_duplicates`.

    Raises:
        UserError: a source or a check is unknown, or a threshold is laxer than the run's.
    """
    kept_rows = table.filter(pc.equal(table["status"], "kept"))
    known = sorted(set(table["source"].unique().to_pylist()))
    for name in selection.sources:
        if name not in known and selection.absent_sources == "refuse":
            raise UserError(f"sources.{name}: the run has no such source; it has {', '.join(known) or 'none'}")
    _refuse_unknown_checks(kept_rows, selection)
    rejected: list[RejectedClip] = []
    ordered: dict[str, list[_Clip]] = {}
    for name in sorted({*known, *selection.sources}):
        if selection.sources and name not in selection.sources:
            continue
        source = selection.sources.get(name, SourceSelection())
        candidates = _drop_denied(kept_rows.filter(pc.equal(kept_rows["source"], name)), rejected, denylist)
        passing = _apply_thresholds(candidates, selection.thresholds | source.thresholds, name, rejected)
        ordered[name] = _order_clips(_drop_same_bytes(passing, rejected, selection.seed), source.order)
    selected = _apply_quotas(ordered, selection, fingerprints, rejected)
    rejected_of: dict[str, list[RejectedClip]] = {name: [] for name in selected}
    for clip in rejected:
        rejected_of[clip.key.split("-", 1)[0]].append(clip)
    counts = {name: _count_clips(name, selection, rejected_of[name], len(clips)) for name, clips in selected.items()}
    return SelectionResult(clips=selected, sources=counts, rejected=tuple(rejected))


def _count_clips(name: str, selection: Selection, rejected: Sequence[RejectedClip], selected: int) -> SourceCounts:
    reasons = Counter(clip.reason for clip in rejected)
    duplicates, near_duplicates, over_quota, denied = (
        reasons.pop(reason, 0) for reason in ("same_bytes", "near_duplicate", "quota", "denied")
    )
    below_threshold = sum(reasons.values())
    return SourceCounts(
        quota=selection.sources.get(name, SourceSelection()).quota,
        kept=denied + duplicates + near_duplicates + over_quota + below_threshold + selected,
        duplicates=duplicates,
        below_threshold=below_threshold,
        near_duplicates=near_duplicates,
        selected=selected,
        denied=denied,
    )


def _drop_denied(rows: pa.Table, rejected: list[RejectedClip], denylist: Denylist) -> pa.Table:
    """Return the rows that the denylist does not forbid, and append the clips of the others to `rejected`."""
    if not denylist:
        return rows
    denied = denied_rows(rows, denylist)
    for keys in itertools.compress(rows["clips"].to_pylist(), denied):
        rejected.extend(RejectedClip(key=key, reason="denied") for key in keys)
    return rows.filter(pa.array([not deny for deny in denied], pa.bool_()))


def _order_clips(clips: list[_Clip], order: ClipOrder) -> list[_Clip]:
    if order == "ledger":
        return clips
    clips = sorted(clips, key=lambda clip: clip.priority)
    if order == "speakers":
        earlier: Counter[str] = Counter()  # speaker or group -> clips that come before
        rounds = {}
        for clip in clips:
            rounds[clip.key] = earlier[clip.speaker_or_group]
            earlier[clip.speaker_or_group] += 1
        clips.sort(key=lambda clip: (rounds[clip.key], clip.priority))
    return clips


def _apply_quotas(
    ordered: Mapping[str, list[_Clip]],
    selection: Selection,
    fingerprints: Mapping[str, Fingerprint] | None,
    rejected: list[RejectedClip],
) -> dict[str, list[tuple[str, int, int]]]:
    """Return the selected clips of each source, and append the others to `rejected`.

    Sources take turns in proportion to their clips: otherwise the near-duplicates of two sources would all be rejected
    from the source that comes later. A clip is rejected as a near-duplicate only of a selected clip.
    """
    index, config = None, selection.near_duplicates
    if config is not None:
        groups = {clip.key: f"{name}/{clip.group_id}" for name, clips in ordered.items() for clip in clips}
        candidates = {key: (fingerprints or {})[key] for key in groups if key in (fingerprints or {})}
        index = NearDuplicateIndex(candidates, groups, config, selection.seed)
    positions = [
        (position / len(clips), clip.priority, name, clip)
        for name, clips in ordered.items()
        for position, clip in enumerate(clips)
    ]
    positions.sort(key=lambda entry: entry[:3])
    keys: set[str] = set()
    selected: dict[str, list[tuple[str, int, int]]] = {name: [] for name in ordered}
    for _, _, name, clip in positions:
        quota = selection.sources.get(name, SourceSelection()).quota
        near_duplicate = None if index is None else index.find(clip.key, keys)
        if near_duplicate is not None and config is not None:
            rejected.append(
                RejectedClip(
                    key=clip.key,
                    reason="near_duplicate",
                    duplicate_of=near_duplicate.duplicate_of,
                    score=near_duplicate.error,
                    threshold=config.max_bit_error,
                )
            )
        elif quota is not None and len(selected[name]) >= quota:
            rejected.append(RejectedClip(key=clip.key, reason="quota"))
        else:
            keys.add(clip.key)
            selected[name].append((clip.key, clip.attempt, clip.unit))
    return selected


def _drop_same_bytes(rows: pa.Table, rejected: list[RejectedClip], seed: int) -> list[_Clip]:
    """Return the clips of these rows, and of clips with the same span of the same bytes only the first.

    A whole file that is several inputs shows several persons, each an input of its own: it is no copy of itself.
    """
    first_keys: dict[tuple[Any, ...], tuple[str, str]] = {}  # bytes and span -> key of the clip, and its file
    clips: list[_Clip] = []
    names = ("clips", "attempt", "unit", "input_sha256", "start_frame", "stop_frame", "group_id", "speaker", "path")
    columns: Iterable[list[Any]] = (rows[name].to_pylist() for name in (*names, *RANGE_COLUMNS))
    for keys, attempt, unit, digest, start, stop, group, speaker, path, file_digest, start_s, stop_s in zip(
        *columns, strict=True
    ):
        # The same part of a file may be in several ranges of it.
        is_range = file_digest is not None and is_time_range(start_s, stop_s)
        if is_range:
            digest, first_frame = file_digest, round(start_s * FRAMES_PER_SECOND)
            start, stop = first_frame + start, first_frame + stop
        first = first_keys.get((digest, start, stop)) if digest is not None else None
        if first is not None and (is_range or first[1] != path):
            rejected.extend(RejectedClip(key=key, reason="same_bytes", duplicate_of=first[0]) for key in keys)
            continue
        if keys:
            first_keys.setdefault((digest, start, stop), (keys[0], path))
        speaker_or_group = f"speaker {speaker}" if speaker else f"group {group}"
        clips.extend(
            _Clip(
                key=key,
                attempt=attempt,
                unit=unit,
                group_id=group,
                speaker_or_group=speaker_or_group,
                priority=priority(key, seed, 16),
            )
            for key in keys
        )
    return clips


def _refuse_unknown_checks(rows: pa.Table, selection: Selection) -> None:
    names = set(selection.thresholds).union(*(source.thresholds for source in selection.sources.values()))
    if not names or not rows.num_rows:
        return
    known = set(flatten_checks(rows).names)
    for name in sorted(names - known):
        raise UserError(
            f"thresholds.{name!r}: no kept clip has a check of this name; checks are {', '.join(sorted(known))}"
        )


def _apply_thresholds(
    table: pa.Table, thresholds: dict[str, float], source: str, rejected: list[RejectedClip]
) -> pa.Table:
    """Return the rows whose checks also pass the stricter thresholds. A score that could not be measured passes."""
    if not thresholds or not table.num_rows:
        return table
    checks, fails_R = flatten_checks(table), np.zeros(table.num_rows, bool)
    for name, limit in thresholds.items():
        named = checks.where(checks.is_named(name))
        if named.is_laxer(limit).any():
            raise UserError(
                f"thresholds.{name!r} = {limit}: laxer than {named.threshold_C[0]:g}, at which {source} was curated; "
                "what the run rejected has no clip. Curate again with this threshold, or choose a stricter one"
            )
        failing = named.row_C[named.fails(limit)]
        for row in failing[~fails_R[failing]]:
            rejected.extend(
                RejectedClip(key=key, reason=name, threshold=limit) for key in table["clips"][int(row)].as_py()
            )
        fails_R[failing] = True
    return table.filter(pa.array(~fails_R))
