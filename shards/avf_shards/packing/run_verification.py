"""Verify that every committed file of a run is as it was written, and name each that is not."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow.compute as pc

from avf_shards.errors import FaultError, UserError
from avf_shards.format.file_digests import check_file
from avf_shards.format.index import load_index, sidecar_path
from avf_shards.format.run_folder import (
    LEDGER,
    LEDGER_DIGESTS,
    PART,
    PLAN,
    PLAN_SUMMARY,
    SKIPPED_INPUTS,
    UNIT,
    RunFolder,
)
from avf_shards.format.tar import BLOCK, END, check_member, header, sha256_file
from avf_shards.schema.versions import FileKind, read_parquet
from avf_shards.system.storage_faults import name_path, open_plain
from avf_shards.text import count_noun

_PLAN_FILES: dict[str, FileKind] = {PLAN: "plan", SKIPPED_INPUTS: "skipped inputs"}


def verify_run(run: RunFolder) -> list[str]:
    """Return every fault of the committed files of a run, one sentence each; an empty list means that there is none.

    Raises UserError for a plan or a digest of a ledger of a newer version.
    """
    faults: list[str] = []
    try:
        run.denylist()
    except (FaultError, UserError) as error:
        faults.append(str(error))
    for attempt in run.attempts():
        folder = run.attempt_folder(attempt)
        try:
            digests = run.plan_summary(attempt).file_sha256
            faults += _file_faults(folder / "plan", digests, _PLAN_FILES)
        except (FaultError, FileNotFoundError) as error:
            faults.append(_describe(error, folder / "plan" / PLAN_SUMMARY))
        if (folder / "ledger").is_dir():
            try:
                run.check_attempt_ledger(attempt)
                if not (folder / "ledger" / LEDGER_DIGESTS).is_file():
                    faults.append(f"{folder / 'ledger' / LEDGER_DIGESTS}: missing; the ledger has no digest")
            except (FaultError, FileNotFoundError) as error:
                faults.append(_describe(error, folder / "ledger" / LEDGER))
    keys_in_force: set[str] | None = None
    if not faults:
        try:
            keys_in_force = set(pc.list_flatten(run.ledger()["clips"]).to_pylist())
        except (FaultError, UserError, FileNotFoundError) as error:  # in a unit, where the run is not finished
            faults.append(_describe(error, Path(getattr(error, "filename", None) or run.root)))
    faults += _missing_unit_faults(run)
    faults += _unit_faults(run, keys_in_force)
    return list(dict.fromkeys(faults))  # a unit's fault comes from run.ledger() too


def _file_faults(folder: Path, digests: dict[str, str], kinds: dict[str, FileKind]) -> list[str]:
    faults = []
    for name in sorted(digests):
        try:
            check_file(folder / name, digests, kinds.get(name))
        except (FaultError, FileNotFoundError) as error:
            faults.append(_describe(error, folder / name))
    return faults


def _missing_unit_faults(run: RunFolder) -> Iterator[str]:
    """Yield each unit that is planned in a finished attempt and has no folder, and where the ledger counts other spans.

    A file that is damaged is a fault of its own, and is passed over here.
    """
    attempts = run.attempts()
    for attempt in attempts:
        folder = run.attempt_folder(attempt)
        if attempt == attempts[-1] and not (folder / "ledger").is_dir():
            continue  # the run goes on here
        with suppress(FaultError, UserError, FileNotFoundError):
            planned = read_parquet(folder / "plan" / PLAN, "plan", ["unit"])["unit"]
            finished = run.finished_units(attempt)
            missing = sorted(set(planned.unique().to_pylist()) - finished)
            yield from (f"{run.unit_folder(attempt, unit)}: missing; the plan has this unit" for unit in missing)
            rows = read_parquet(folder / "ledger" / LEDGER, "ledger", ["unit"]).num_rows
            counts = [run.unit_manifest(attempt, unit).counts for unit in sorted(finished)]
            spans = sum(count[status] for count in counts for status in ("kept", "rejected", "failed"))
            if not missing and spans != rows:
                yield (
                    f"{folder / 'ledger' / LEDGER}: holds {count_noun(rows, 'span')}, and the units of attempt "
                    f"{attempt} hold {spans:,}"
                )


def _unit_faults(run: RunFolder, keys_in_force: set[str] | None) -> Iterator[str]:
    """Yield the faults of all units.

    Args:
        keys_in_force: keys of the clips that the run keeps; None: that cannot be said, as a ledger is damaged.
    """
    for attempt in run.attempts():
        for unit in sorted(run.finished_units(attempt)):
            folder = run.unit_folder(attempt, unit)
            try:
                manifest = run.unit_manifest(attempt, unit)
            except (FaultError, UserError, FileNotFoundError) as error:
                yield _describe(error, folder / UNIT)
                continue
            faults = _file_faults(folder, manifest.file_sha256, {LEDGER: "ledger"})
            yield from faults or _part_faults(folder / PART, keys_in_force)


def _part_faults(part: Path, keys_in_force: set[str] | None) -> Iterator[str]:
    """Yield the faults of a unit's clips.

    A clip that is all zeros was erased by a deletion, unless the run keeps it; where that cannot be said, it passes.
    """
    try:
        index = load_index(sidecar_path(part))
        index.check_size(part.stat().st_size)
    except FileNotFoundError as error:
        yield _describe(error, part)
        return
    except FaultError as error:
        yield f"{part}: {error}"
        return
    if sha256_file(part) == index.sha256:
        return
    faults: list[str] = []
    with name_path(part), open(part, "rb", buffering=0, opener=open_plain) as file:
        handle, end = file.fileno(), 0
        for member in index.members:
            key = member.name.partition(".")[0]
            block = os.pread(handle, BLOCK + member.size, member.offset - BLOCK)
            end = member.offset + member.size + -member.size % BLOCK
            erased = key not in (keys_in_force or ()) and not block[BLOCK:].strip(b"\0")
            if erased and block[:BLOCK] != header(member.name, member.size):
                faults.append(f"{part}: the tar header of {member.name} is damaged")
            if not erased:
                try:
                    check_member(block, str(part), member)
                except FaultError as error:
                    faults.append(str(error))
            if os.pread(handle, -member.size % BLOCK, member.offset + member.size).strip(b"\0"):
                faults.append(f"{part}: the padding after {member.name} is damaged")
        if os.pread(handle, len(END), end) != END:
            faults.append(f"{part}: the end-of-archive blocks at byte {end} are damaged")
    yield from faults


def _describe(error: Exception, path: Path) -> str:
    return f"{path}: missing" if isinstance(error, FileNotFoundError) else str(error)
