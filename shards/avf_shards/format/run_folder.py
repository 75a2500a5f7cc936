"""The folder of a curation run, and how a unit is committed to it.

RUN/run/run.json                  fingerprint and settings, frozen at the first start
RUN/attempt-0/plan/               plan.parquet, plan.json: frozen before any work
RUN/attempt-0/units/0000/0000042/ ledger.parquet, clips.tar, clips.index.json, unit.json: all or nothing
RUN/attempt-0/ledger/             ledger.parquet of all units, when the attempt is finished
RUN/attempt-1/...                 a retry of the failed videos: its decisions stand in for theirs
RUN/denylist-DIGEST.json          what was taken down: no later attempt keeps it
RUN/tmp, RUN/log                  not part of the result
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_shards.format.denylist import Denylist, add_to_denylist, read_denylist
from avf_shards.format.file_digests import LedgerDigests, check_file, digest
from avf_shards.format.manifest import seal, unseal_versioned
from avf_shards.format.plan_summary import PlanSummary
from avf_shards.format.run_identity import RunIdentity, read_run_identity
from avf_shards.format.tar import TarWriter
from avf_shards.schema import ledger
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import (
    check_columns,
    check_schema,
    read_parquet,
    refuse_nulls,
    translate_parquet_errors,
)
from avf_shards.system import durable_io
from avf_shards.system.run_lock import RunLock
from avf_shards.system.storage_faults import read_bytes
from avf_shards.system.temporary_folder import claim_temporary_folder, clear_temporary_folder
from avf_shards.text import shell_word
from avf_shards.timeline import FRAMES_PER_SECOND

LEDGER, PART, PART_INDEX, UNIT = "ledger.parquet", "clips.tar", "clips.index.json", "unit.json"
LEDGER_DIGESTS = "ledger.json"
COORDINATOR = "coordinator"  # the markers of the lock are RUN/log/coordinator-000001.json
PLAN, PLAN_SUMMARY, SKIPPED_INPUTS = "plan.parquet", "plan.json", "skipped_inputs.parquet"
UNREADABLE = "unreadable"  # kind of a skipped folder or file whose videos the plan lacks
_CLAIMS = 100  # attempts to make a folder under tmp/ that another process is removing


@dataclass(frozen=True, kw_only=True)
class PackedClip:
    """A clip that is ready to be stored."""

    key: str  # names its members, KEY.EXTENSION
    source: str  # name of the source that its video belongs to
    frames: int  # at 25 fps
    members: dict[str, bytes]  # extension -> payload


@dataclass(frozen=True, kw_only=True)
class UnitManifest:
    """The unit.json of a committed unit."""

    unit: int  # number of the unit in the plan of its attempt
    attempt: int  # 0: first run; each retry and each deletion adds one
    counts: dict[str, int]  # spans that were kept, rejected, failed; frames of all spans
    file_bytes: dict[str, int]  # size of each of the unit's other files, by name
    file_sha256: dict[str, str] = field(default_factory=dict)  # of the same files, but the tar, whose index says it

    def to_json(self) -> bytes:
        """Return the file's content; the same manifest gives the same bytes."""
        return seal(asdict(self), "unit")

    @classmethod
    def read(cls, path: Path) -> "UnitManifest":
        """Return the manifest in a file. Raises UserError for a newer version, FaultError for a damaged file."""
        fields = Fields(unseal_versioned(read_bytes(path), "unit", str(path)), str(path))
        return cls(
            unit=fields.integer("unit"),
            attempt=fields.integer("attempt"),
            counts=fields.integers("counts"),
            file_bytes=fields.integers("file_bytes"),
            file_sha256=fields.texts("file_sha256") if "file_sha256" in fields.values else {},
        )


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, its commits and what is finished in it."""

    root: Path  # holds run/, attempt-N/, log/ and tmp/

    @classmethod
    def open_existing(cls, root: Path) -> "RunFolder":
        """Return the run at `root`.

        Raises UserError when there is none or a newer version made it, FaultError when its run.json is damaged.
        """
        run = cls(root)
        if not run.identity_file.is_file():
            raise UserError(
                f"{root}: not the folder of a run (no run/run.json); start one with avf-curate run --out "
                f"{shell_word(root)}"
            )
        run.identity()  # no command may read or change a run of a newer version
        return run

    @property
    def identity_file(self) -> Path:
        return self.root / "run" / "run.json"

    @property
    def log_folder(self) -> Path:
        return self.root / "log"

    def identity(self) -> RunIdentity:
        """Return the values of run.json. Raises UserError for a newer version, FaultError for a damaged file."""
        return read_run_identity(self.identity_file)

    def plan_summary(self, attempt: int = 0) -> PlanSummary:
        """Return the plan.json of an attempt; that of attempt 0 describes the run. Raises as `PlanSummary.read`."""
        return PlanSummary.read(self.attempt_folder(attempt) / "plan" / PLAN_SUMMARY)

    def lock(self) -> RunLock:
        """Return the lock of the one process that may change the run."""
        self.log_folder.mkdir(parents=True, exist_ok=True)
        return RunLock(self.log_folder, COORDINATOR, str(self.root))

    def clear_temporary(self) -> None:
        """Remove tmp/, which only the holder of the lock may do. A user's own tmp/ stays."""
        clear_temporary_folder(self.root / "tmp")

    def count_unreadable(self) -> int:
        """Return how many folders or files could not be read when the run was planned: its plan lacks their videos."""
        path = self.attempt_folder(0) / "plan" / SKIPPED_INPUTS
        if not path.is_file():
            return 0
        kinds: list[str] = read_parquet(path, "skipped inputs", ["kind"])["kind"].to_pylist()
        return kinds.count(UNREADABLE)

    def temporary(self, name: str) -> Path:
        """Make and return a new folder under tmp/ whose name no other process uses.

        Raises UserError where tmp/ is a user's own.
        """
        path = self.root / "tmp" / f"{name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        for _ in range(_CLAIMS):
            claim_temporary_folder(path.parent)
            # Of two first runs of a folder, the one that holds it clears tmp/ while the other is here, not refused yet.
            with suppress(FileNotFoundError):
                durable_io.make_new_folder(path)
                return path
        raise UserError(f"{path.parent}: is removed each time that it is made; another process is at work there")

    def denylist(self) -> Denylist:
        """Return what was taken down in the run. Raises as `read_denylist`."""
        return read_denylist(self.root)

    def deny(self, added: Denylist) -> Denylist:
        """Add entries to the denylist of the run and return all of it. Any process may, at any time."""
        present = self.denylist()
        if not added - present:
            return present
        for _ in range(_CLAIMS):
            # The holder of the lock clears tmp/ at a moment of its own, and with it what a killed process left there.
            with suppress(FileNotFoundError):
                temporary = self.temporary("denylist")
                denylist = add_to_denylist(self.root, added, temporary)
                durable_io.remove(temporary)
                return denylist
        raise UserError(f"{self.root / 'tmp'}: is removed each time that it is made; another process is at work there")

    def attempt_folder(self, attempt: int) -> Path:
        return self.root / f"attempt-{attempt}"

    def attempts(self) -> list[int]:
        """Return the numbers of the attempts that have a plan, ascending."""
        names = [path.name.removeprefix("attempt-") for path in self.root.glob("attempt-*")]
        numbers = [int(name) for name in names if name.isdigit()]
        return sorted(n for n in numbers if (self.attempt_folder(n) / "plan").is_dir())

    def unit_folder(self, attempt: int, unit: int) -> Path:
        return self.attempt_folder(attempt) / "units" / f"{unit // 1000:04d}" / f"{unit:07d}"

    def finished_units(self, attempt: int) -> set[int]:
        """Return the numbers of the committed units: a unit is committed if and only if its folder exists."""
        units = self.attempt_folder(attempt) / "units"
        committed: set[int] = set()
        if units.is_dir():
            for bucket in os.scandir(units):
                if bucket.is_dir():  # NFS leaves .nfs files behind
                    committed.update(int(entry.name) for entry in os.scandir(bucket.path) if entry.name.isdigit())
        return committed

    def publish(self, name: str, final: Path, files: dict[str, bytes]) -> None:
        """Publish a folder of small files, all or nothing. Raises AlreadyExistsError when its name is taken."""
        temporary = self.temporary(name)
        for file_name, data in files.items():
            durable_io.write(temporary / file_name, data)
        durable_io.make_folder(final.parent)
        durable_io.publish_folder(temporary, final)

    def commit_unit(
        self, attempt: int, unit: int, decisions: pa.Table, clips: Iterable[PackedClip], counts: dict[str, int]
    ) -> None:
        """Publish ledger and clips of a unit together. A unit that is committed already stays as it is."""
        final = self.unit_folder(attempt, unit)
        temporary = self.temporary(f"unit-{unit:07d}")
        files = write_part(temporary, PART, clips)
        data = ledger.encode_ledger(decisions)
        durable_io.write(temporary / LEDGER, data)
        files[LEDGER] = len(data)
        sidecar = read_bytes(temporary / PART_INDEX)
        manifest = UnitManifest(
            unit=unit,
            attempt=attempt,
            counts=counts,
            file_bytes=files,
            file_sha256={LEDGER: digest(data), PART_INDEX: digest(sidecar)},
        )
        durable_io.write(temporary / UNIT, manifest.to_json())
        durable_io.make_folder(final.parent)
        try:
            durable_io.publish_folder(temporary, final)
        except durable_io.AlreadyExistsError:
            durable_io.remove(temporary)

    def unit_manifest(self, attempt: int, unit: int) -> UnitManifest:
        """Return the unit.json of a committed unit. Raises as `UnitManifest.read`."""
        return UnitManifest.read(self.unit_folder(attempt, unit) / UNIT)

    def finish_attempt(self, attempt: int) -> None:
        """Write the ledger of all committed units of a finished attempt; a second call does nothing."""
        final = self.attempt_folder(attempt) / "ledger"
        if final.is_dir():
            return
        temporary = self.temporary(f"ledger-{attempt}")
        data = ledger.encode_unit_ledgers(list(self._unit_ledgers(attempt)))
        for name, content in attempt_ledger_files(attempt, data).items():
            durable_io.write(temporary / name, content)
        try:
            durable_io.publish_folder(temporary, final)
        except durable_io.AlreadyExistsError:
            durable_io.remove(temporary)

    def _unit_ledgers(self, attempt: int) -> Iterator[pa.Table]:
        for unit in sorted(self.finished_units(attempt)):
            path = self.unit_folder(attempt, unit) / LEDGER
            check_file(path, self.unit_manifest(attempt, unit).file_sha256, "ledger")
            yield ledger.read_ledger(path)

    def part(self, attempt: int, unit: int) -> Path:
        """Return the tar of a unit's clips, after a check of its index. Raises FaultError for a damaged index."""
        path = self.unit_folder(attempt, unit) / PART
        side = path.with_name(PART_INDEX)
        try:
            check_file(side, self.unit_manifest(attempt, unit).file_sha256)
        except FaultError:
            with suppress(FaultError):
                index.load_index(side)  # refuses the index of another version, which is not damaged
            raise
        return path

    def check_plan(self, attempt: int) -> None:
        """Raise FaultError for a plan of an attempt that is not as it was frozen."""
        check_file(self.attempt_folder(attempt) / "plan" / PLAN, self.plan_summary(attempt).file_sha256, "plan")

    def check_attempt_ledger(self, attempt: int) -> None:
        """Raise FaultError for a ledger of a finished attempt that is not as it was written."""
        folder = self.attempt_folder(attempt) / "ledger"
        digests = LedgerDigests.read(folder / LEDGER_DIGESTS)
        if digests is not None:
            check_file(folder / LEDGER, digests.file_sha256, "ledger")

    def attempt_ledger(self, attempt: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the decisions of an attempt so far, or some columns of them. Raises as `read_ledger`."""
        names = list(columns or ledger.SCHEMA.names)
        path = self.attempt_folder(attempt) / "ledger" / LEDGER
        if path.is_file():
            self.check_attempt_ledger(attempt)
            return ledger.read_ledger(path, names)
        tables = list(self._unit_ledgers(attempt))
        return (pa.concat_tables(tables) if tables else ledger.SCHEMA.empty_table()).select(names)

    def ledger(self, before: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return every decision so far. Of a video that several attempts decided, only the last decisions count.

        Args:
            before: the attempt whose decisions, and those of later ones, are left out; None: none is.
            columns: names of the columns that are read; None: all.
        """
        names = list(columns or ledger.SCHEMA.names)
        names += [name for name in ledger.SORT_COLUMNS if name not in names]
        attempts = [each for each in self.attempts() if before is None or each < before]
        table = ledger.newest_decisions(self.attempt_ledger(attempt, names) for attempt in attempts)
        return table if columns is None else table.select(list(columns))

    def ledger_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield `ledger()` some rows at a time, only these columns: millions of decisions fit in little memory.

        Columns for ranges are left out where no input is one.
        """
        (*earlier, newest) = self.attempts() or [0]
        path = self.attempt_folder(newest) / "ledger" / LEDGER
        if earlier or not path.is_file():
            yield from self.ledger().select(list(columns)).combine_chunks().to_batches()
            return
        self.check_attempt_ledger(newest)
        with (
            translate_parquet_errors(path, "ledger"),
            pq.ParquetFile(path, page_checksum_verification=True) as file,
        ):
            check_schema(file.schema_arrow, "ledger", str(path))
            where = f"{path}: not readable as ledger"
            stored = file.schema_arrow.names
            present = [name for name in columns if name in stored or name not in ledger.RANGE_COLUMNS]
            check_columns(file.schema_arrow, present, ledger.SCHEMA, where)
            for batch in file.iter_batches(columns=present):
                refuse_nulls(batch, ledger.NOT_NULL, where)
                yield batch


def attempt_ledger_files(attempt: int, data: bytes) -> dict[str, bytes]:
    """Return the files of RUN/attempt-N/ledger for the bytes of a ledger, by name."""
    digests = LedgerDigests(attempt=attempt, file_sha256={LEDGER: digest(data)})
    return {LEDGER: data, LEDGER_DIGESTS: digests.to_json()}


def write_part(folder: Path, name: str, clips: Iterable[PackedClip]) -> dict[str, int]:
    """Write a tar of clips and its sidecar; return file name -> size. The members of a clip are sorted by extension."""
    writer = TarWriter(folder / name)
    count: dict[str, int] = {}
    frames: dict[str, int] = {}
    for clip in clips:
        for extension in sorted(clip.members):
            writer.add(f"{clip.key}.{extension}", clip.members[extension])
        count[clip.source] = count.get(clip.source, 0) + 1
        frames[clip.source] = frames.get(clip.source, 0) + clip.frames
    size, tar_digest = writer.close()
    seconds = {source: n / FRAMES_PER_SECOND for source, n in frames.items()}
    sidecar = index.ShardIndex(
        shard=name, size_bytes=size, sha256=tar_digest, clips=count, seconds=seconds, members=tuple(writer.members)
    ).to_json()
    side_path = index.sidecar_path(folder / name)
    durable_io.write(side_path, sidecar)
    return {name: size, side_path.name: len(sidecar)}
