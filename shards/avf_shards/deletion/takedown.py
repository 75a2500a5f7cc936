"""Delete clips from a curation run: reject their spans in its ledger and erase their bytes.

A new attempt decides the videos again and rejects the requested spans as takedown/deleted, so that packing the run does
not bring the clips back. One rename publishes the attempt before any byte is erased; after a kill, the next call erases
the remaining clips.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.deletion.removed_names import denied_clips
from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_shards.format.denied_inputs import content_denials, denied_rows
from avf_shards.format.file_digests import digest
from avf_shards.format.run_folder import (
    LEDGER,
    PART,
    PART_INDEX,
    PLAN,
    PLAN_SUMMARY,
    UNIT,
    RunFolder,
    UnitManifest,
    attempt_ledger_files,
    write_part,
)
from avf_shards.format.tar import Member
from avf_shards.schema import ledger
from avf_shards.schema.ledger import TAKEDOWN, Check
from avf_shards.schema.versions import check_columns, encode_parquet, read_parquet
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import open_plain, raise_machine_fault, read_bytes

REASON = "deleted"
_TOMBSTONE = Check(stage=TAKEDOWN, reason=REASON, score=1.0, operator="<=", threshold=0.0)


def _refuse(fault: str) -> None:
    raise FaultError(fault)


def refuse_unfinished(run: RunFolder) -> None:
    """Raise UserError for a run that has undecided videos."""
    attempts = run.attempts()
    if not attempts or not (run.attempt_folder(attempts[-1]) / "ledger").is_dir():
        raise UserError(
            f"{run.root}: the run is not finished; start it again with the same command, then delete. With --deny "
            "FILE that command keeps nothing of what the file names"
        )


def apply_denylist(run: RunFolder, on_fault: Callable[[str], None] = _refuse) -> tuple[str, ...]:
    """Reject and erase what a finished run keeps of its denylist, and return the keys of the clips erased now.

    The caller holds the lock of the run.

    Args:
        on_fault: is called for each unit whose clips cannot be erased, as its index is damaged; default: FaultError.
    """
    if not (denylist := run.denylist()):
        return ()
    table = run.ledger()
    denylist = run.deny(content_denials(table, denylist))
    requested = denied_rows(table, denylist)
    taken_down = pc.equal(table["stage"], TAKEDOWN).fill_null(False).to_pylist()
    names = list(zip(table["source"].to_pylist(), table["video_id"].to_pylist(), strict=True))
    new = [deny and not done for deny, done in zip(requested, taken_down, strict=True)]
    videos = set(itertools.compress(names, new))
    if videos:
        # Of a video that several attempts decided only the newest decisions count, so all its spans are repeated.
        decisions = [
            _tombstone(row) if new[number] else row for number, row in _rows(table, [name in videos for name in names])
        ]
        attempt = run.attempts()[-1] + 1
        _publish(run, attempt, pa.Table.from_pylist(decisions, schema=ledger.SCHEMA), videos)
    return tuple(key for unit, keys in denied_clips(run, denylist) for key in _erase_clips(run, unit, keys, on_fault))


def _rows(table: pa.Table, chosen: list[bool]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, values) of the chosen rows."""
    numbers = [number for number, choose in enumerate(chosen) if choose]
    yield from zip(numbers, table.filter(pa.array(chosen, pa.bool_())).to_pylist(), strict=True)


def _tombstone(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the same span as rejected, without its clips and measurements."""
    verdict = {"stage": TAKEDOWN, "reason": REASON, "score": 1.0, "operator": "<=", "threshold": 0.0}
    empty: dict[str, Any] = {"error": None, "message": None, "clips": [], "measurements": "{}"}
    return row | verdict | empty | {"status": "rejected", "checks": [vars(_TOMBSTONE)]}


def _publish(run: RunFolder, attempt: int, decisions: pa.Table, videos: set[tuple[str, str]]) -> None:
    """Publish a finished attempt of one unit without clips, all of it in one rename."""
    paths = [run.attempt_folder(n) / f"plan/{PLAN}" for n in run.attempts()]
    plans = [read_parquet(path, "plan") for path in paths]
    for path, table in zip(paths, plans, strict=True):
        check_columns(table.schema, ("source", "video_id"), None, f"{path}: not readable as plan")
    newest = {(row["source"], row["video_id"]): row | {"unit": 0} for plan in plans for row in plan.to_pylist()}
    plan = pa.Table.from_pylist([newest[video] for video in sorted(videos)], schema=plans[-1].schema)
    temporary = run.temporary(f"takedown-{attempt}")
    unit = temporary / "units" / "0000" / "0000000"
    for folder in (temporary / "plan", temporary / "ledger", temporary / "units", unit.parent, unit):
        durable_io.make_new_folder(folder)
    plan_bytes = encode_parquet(plan)
    durable_io.write(temporary / f"plan/{PLAN}", plan_bytes)
    summary = replace(
        run.plan_summary(), videos=plan.num_rows, skipped_inputs=0, file_sha256={PLAN: digest(plan_bytes)}
    )
    durable_io.write(temporary / "plan" / PLAN_SUMMARY, summary.to_json())
    data = ledger.encode_ledger(decisions.sort_by(ledger.SORT_KEYS))
    files = write_part(unit, PART, [])
    durable_io.write(unit / LEDGER, data)
    counts = {"kept": 0, "rejected": decisions.num_rows, "failed": 0, "frames": 0}
    manifest = UnitManifest(
        unit=0,
        attempt=attempt,
        counts=counts,
        file_bytes=files | {LEDGER: len(data)},
        file_sha256={LEDGER: digest(data), PART_INDEX: digest(read_bytes(unit / PART_INDEX))},
    )
    durable_io.write(unit / UNIT, manifest.to_json())
    for name, content in attempt_ledger_files(attempt, data).items():
        durable_io.write(temporary / "ledger" / name, content)
    for folder in (unit, unit.parent, unit.parent.parent, temporary / "plan", temporary / "ledger"):
        durable_io.sync_folder(folder)
    try:
        durable_io.publish_folder(temporary, run.attempt_folder(attempt))
    except durable_io.AlreadyExistsError:
        raise UserError(
            f"{run.root}: another process began attempt {attempt} meanwhile; nothing was deleted in it. Start the "
            "command again"
        ) from None
    run.clear_temporary()


def _erase_clips(
    run: RunFolder, unit: tuple[int, int], keys: list[str], on_fault: Callable[[str], None]
) -> Iterator[str]:
    """Overwrite the clips of a unit with zeros, and yield the keys of those that were not zeros yet."""
    try:
        part = run.part(*unit)
        with index.ShardReader(part, checks_size=False) as reader:
            members, moved = reader.index.by_key(), reader.misplaced_member()
        if lacking := [key for key in keys if key not in members]:
            raise FaultError(f"{index.sidecar_path(part)}: damaged (it lacks {lacking[0]})")
    except (FaultError, OSError) as error:
        raise_machine_fault(error)
        on_fault(f"{error}; not erased: {', '.join(keys)}. Restore the file, and start the same command again")
        return
    for key in keys:  # an earlier call may have erased some, and been killed
        if not all(_is_blank(part, member) for member in members[key].values()):
            for member in members[key].values():
                durable_io.overwrite_with_zeros(part, member.offset, member.size)
            yield key
    if moved is not None:
        on_fault(
            f"{part}: damaged (the tar header of {moved.name} is not in its place); the bytes that its index names "
            f"were erased, and others of {', '.join(keys)} may lie elsewhere in it. Restore the file, and start the "
            "same command again"
        )


def _is_blank(part: Path, member: Member) -> bool:
    with open(part, "rb", opener=open_plain) as file:
        file.seek(member.offset)
        return not file.read(member.size).strip(b"\0")
