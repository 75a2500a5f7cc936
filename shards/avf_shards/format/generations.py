"""One writer at a time for a folder of shards, and changes of its manifest by compare-and-swap.

A writer holds SHARDS/writer-000001.json (`RunLock`). A marker alone is not enough: its holder may be suspended for so
long that another process takes over, and go on later. So each change of the manifest has a number, its generation,
and is put into force by creating SHARDS/manifest-GENERATION.json, which fails when the name is taken: of two writers
that read the same generation, one creates the next. manifest.json, which readers open, is a copy of the newest.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardManifest, read_manifest
from avf_shards.system import durable_io
from avf_shards.system.mirror_registry import mirror_of, refresh
from avf_shards.system.run_lock import RunLock
from avf_shards.system.storage_faults import read_bytes
from avf_shards.system.temporary_folder import claim_temporary_folder, clear_temporary_folder, is_temporary_folder

WRITER, TEMPORARY = "writer", "tmp"
_GENERATION = re.compile(r"manifest-(\d{6,})\.json")
_MARKER = re.compile(rf"{WRITER}-(?:\d+\.json|(?:claim|clock)-[0-9a-f]+)")


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """The one process that may change a folder of shards."""

    shards: Path  # the folder
    temporary: Path  # folder in which this process, and no other, makes its files
    lock: RunLock  # is held

    def check(self) -> None:
        """Raise UserError when another process took over. To be called before anything is removed or published."""
        self.lock.check()

    def remove(self, path: Path) -> None:
        """Remove a file of the folder. Raises UserError as `check`."""
        self.check()
        durable_io.remove(path)

    def read_newest(self) -> ShardManifest:
        """Return the manifest in force, after completing the change of a writer that was killed half-way."""
        _copy_newest(self)
        return read_manifest(self.shards)

    def commit(self, before: ShardManifest, after: ShardManifest) -> ShardManifest:
        """Put `after` into force in place of `before`, and return it with its generation.

        Raises UserError when another writer changed the manifest since `before` was read; nothing is changed then.
        """
        self.check()
        after = replace(after, generation=before.generation + 1)
        name = generation_name(after.generation)
        data = after.to_json()
        durable_io.write(self.temporary / name, data)
        refusal = (
            f"{self.shards}: another process changed it meanwhile: this one read generation {before.generation}, and "
            f"generation {after.generation} is there. This one has destroyed nothing; start the command again"
        )
        try:
            durable_io.publish_file(self.temporary / name, self.shards / name)
        except durable_io.AlreadyExistsError:
            raise UserError(refusal) from None
        refresh(self.shards)
        # A name is free again once its generation is superseded, so a late writer finds a newer one beside its own.
        if max(list_generations(self.shards)) != after.generation:
            durable_io.remove(self.shards / name)
            raise UserError(refusal)
        _copy_newest(self)
        return after


@contextmanager
def open_for_writing(shards: Path) -> Iterator[ShardWriter]:
    """Make this process the one writer of an existing folder of shards. Raises UserError while another is at work."""
    with RunLock(shards, WRITER, str(shards)) as lock:
        temporary = shards / TEMPORARY / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            claim_temporary_folder(shards / TEMPORARY)
            durable_io.make_new_folder(temporary)
            yield ShardWriter(shards=shards, temporary=temporary, lock=lock)
        finally:
            if lock.is_lost():
                durable_io.remove(temporary)
            else:
                clear_temporary_folder(shards / TEMPORARY)


def generation_name(generation: int) -> str:
    """Return the name of the file that puts a generation into force."""
    return f"manifest-{generation:06d}.json"


def is_generation_name(name: str) -> bool:
    """Return whether a file of this name puts a generation into force."""
    return _GENERATION.fullmatch(name) is not None


def read_generation(shards: Path, generation: int) -> bytes:
    """Return the content of a generation's file.

    Raises FaultError where it is damaged: nothing of it may get into force, and the manifest beside it may be intact.
    """
    path = shards / generation_name(generation)
    data = read_bytes(path)
    try:
        stated = ShardManifest.from_json(data, str(path)).generation
        if stated == generation:
            return data
        fault = f"{path}: damaged (it says that it is generation {stated})"
    except FaultError as error:
        fault = str(error)
    try:
        is_beside = read_manifest(shards).generation == generation
    except FaultError:
        is_beside = False
    remedy = f"; {MANIFEST} holds the same generation and is intact: copy it to {path.name}" if is_beside else ""
    raise FaultError(f"{fault}{remedy}")


def list_generations(shards: Path) -> list[int]:
    """Return the generations that have a file, ascending; none while the shards are as packed."""
    return sorted(int(match[1]) for path in shards.iterdir() if (match := _GENERATION.fullmatch(path.name)))


def is_writers_own(path: Path) -> bool:
    """Return whether a file of a folder of shards is a writer's marker or temporary folder, and no data."""
    return bool(_MARKER.fullmatch(path.name)) or (path.name == TEMPORARY and is_temporary_folder(path))


def _copy_newest(writer: ShardWriter) -> None:
    """Make manifest.json a copy of the newest generation, and remove the older ones.

    Raises UserError as `ShardWriter.check`, before it removes one; the copy does not ask. It is of the newest
    generation whoever makes it, and a process that stopped here could leave an older one over that of its successor.
    """
    shards, copied = writer.shards, -1
    # Repeated until no newer one appears: a late writer then undoes what it wrote over the copy of its successor.
    while (newest := max(list_generations(shards), default=-1)) != copied:
        data = read_generation(shards, newest)
        if read_bytes(shards / MANIFEST) != data:
            durable_io.write(writer.temporary / MANIFEST, data)
            durable_io.replace_by(writer.temporary / MANIFEST, shards / MANIFEST)
        copied = newest
    for generation in list_generations(shards):
        # In a store a name that was free again could be taken by a late writer, whom no other file would stop.
        if generation < copied and mirror_of(shards) is None:
            writer.remove(shards / generation_name(generation))
