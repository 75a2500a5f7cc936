"""One takedown in a run and in the shards that were packed from it, with both locked before anything is changed."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from avf_shards.deletion.logs import redact_logs
from avf_shards.deletion.proof import LeftOverError, Proof, prove_absence
from avf_shards.deletion.removed_names import RemovedNames, denied_clips, join_names, names_in_run, names_in_shards
from avf_shards.deletion.requests import DeletionRequest
from avf_shards.deletion.shard_deletion import (
    DeletionReport,
    content_denials_of,
    delete_as_writer,
    known_in_shards,
    refuse_unlisted,
)
from avf_shards.deletion.takedown import apply_denylist, refuse_unfinished
from avf_shards.deletion.twins import SoundTwin, find_sound_twins
from avf_shards.errors import UserError
from avf_shards.format.denied_inputs import content_denials, known_denials
from avf_shards.format.denylist import Denial, Denylist, deny_key, read_denylist
from avf_shards.format.generations import ShardWriter, open_for_writing
from avf_shards.format.run_folder import PLAN, RunFolder
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.schema.versions import read_parquet


@dataclass(frozen=True, kw_only=True)
class TakedownOptions:
    """How far a takedown goes."""

    reason: str = ""  # is written with the entries of the denylist and with the tombstones
    allow_unknown: bool = False  # forbid also what neither the run nor the shards know, for runs to come
    takes_sound_twins: bool = False  # take clips with the same sound down too
    also_search: tuple[Path, ...] = ()  # folders outside the run and the shards that are searched too


@dataclass(frozen=True, kw_only=True)
class TakedownReport:
    """The result of a takedown in a run, in shards, or in both."""

    shards: DeletionReport | None  # None: no shards were named
    erased_in_run: tuple[str, ...]  # keys of the clips that this call erased
    sound_twins: tuple[SoundTwin, ...]  # clips of the run with the sound of a clip that was named
    not_compared: tuple[str, ...]  # a sentence for each damaged clip whose sound could not be compared
    faults: tuple[str, ...]  # a sentence for each damaged file or clip that was met; all else is taken down
    unknown: tuple[str, ...]  # what was named and is known nowhere, as it was named
    proof: Proof  # of the search for what was removed


def take_down_in_both(
    shards: Path | None, run: RunFolder | None, request: DeletionRequest, options: TakedownOptions
) -> TakedownReport:
    """Take the request down in the run and in the shards, whichever is given.

    Damaged clips and shards stop nothing; the report lists them.

    Raises:
        UserError: something that was named is known nowhere, the run is not finished, or another process is at work.
        FaultError: a damaged file without which nothing can be taken down (manifest, ledger, denylist), or a file that
            still names what was deleted.
    """
    faults: dict[str, None] = {}

    def note(fault: str) -> None:
        faults[fault] = None  # each once, in order

    with _open_both(shards, run) as writer:
        named = request.named(options.reason)
        denylist = Denylist(denials=tuple(named))
        known: set[Denial] = set()
        twins: tuple[SoundTwin, ...] = ()
        not_compared: tuple[str, ...] = ()
        if writer is not None:
            known |= known_in_shards(writer, denylist, note)
        if run is not None:
            run.clear_temporary()  # what killed processes left there may hold clips
            table = run.ledger()
            known |= _known_in_run(run, table, denylist)
        unknown = tuple(word for denial, word in named.items() if denial not in known)
        if unknown and not options.allow_unknown:
            raise UserError("\n".join([_describe_unknown(unknown, shards, run, faults), *faults]))
        if writer is not None:
            denylist |= content_denials_of(writer, denylist, note)
        if run is not None:
            denylist |= content_denials(table, denylist)
            # Before a clip is erased: its fingerprint goes with it.
            twins, not_compared = find_sound_twins(run, table, denylist)
            if options.takes_sound_twins:
                date = denylist.denials[0].date
                denylist |= Denylist(denials=tuple(deny_key(twin.key, date, options.reason) for twin in twins))
                denylist |= content_denials(table, denylist)
            # With all that the run denies: an earlier call may have named the run alone.
            denylist = run.deny(denylist)  # one file: after a kill, the twins are known without their sound
        report = None
        if writer is not None:
            keys_in_run = () if run is None else {key for _, keys in denied_clips(run, denylist) for key in keys}
            report = delete_as_writer(writer, denylist, options.reason, note, keys_in_run)
        erased = apply_denylist(run, note) if run is not None else ()
        if run is not None:
            run.clear_temporary()
        try:
            proof = _prove(writer, run, options.also_search)
        except LeftOverError as error:
            raise LeftOverError("\n".join([str(error), *faults])) from None
    return TakedownReport(
        shards=report,
        erased_in_run=erased,
        sound_twins=twins,
        not_compared=not_compared,
        faults=tuple(faults),
        unknown=unknown,
        proof=proof,
    )


def _prove(writer: ShardWriter | None, run: RunFolder | None, also_search: tuple[Path, ...]) -> Proof:
    """Search all files for what this call and earlier ones removed. Raises as `prove_absence`."""
    names = RemovedNames()
    if writer is not None:
        refuse_unlisted(writer.shards)
        tombstones = [tombstone.key for tombstone in read_manifest(writer.shards).tombstones]
        names = names_in_shards(tombstones, read_denylist(writer.shards))
    if run is not None:
        names = join_names(names, names_in_run(run, run.denylist()))
        redact_logs(run, names)
    return prove_absence(None if writer is None else writer.shards, run, also_search, names)


@contextmanager
def _open_both(shards: Path | None, run: RunFolder | None) -> Iterator[ShardWriter | None]:
    """Lock the run and the shards, in this order, and yield the writer of the shards.

    Raises UserError where one is in use or the run is not finished; nothing is changed then.
    """
    with ExitStack() as stack:
        if shards is not None:
            read_manifest(shards)  # before a marker is written into what may be another folder
        if run is not None:
            stack.enter_context(run.lock())
            refuse_unfinished(run)
        yield None if shards is None else stack.enter_context(open_for_writing(shards))


def _known_in_run(run: RunFolder, table: pa.Table, denylist: Denylist) -> set[Denial]:
    """Return the entries that an input of the run, or its denylist, knows: it may have no clip."""
    known = set(denylist.denials) & set(run.denylist().denials)
    known |= known_denials(table, denylist)
    for attempt in run.attempts():
        plan = read_parquet(run.attempt_folder(attempt) / "plan" / PLAN, "plan", ["source", "video_id", "speaker"])
        known |= known_denials(plan, denylist)
    return known


def _describe_unknown(
    unknown: tuple[str, ...], shards: Path | None, run: RunFolder | None, faults: Collection[str]
) -> str:
    folders = " and ".join(str(folder) for folder in (shards, run and run.root) if folder is not None)
    hint = "" if run is not None else "; name the run too with --run RUN, which knows the videos without a clip"
    searched = " in what can be read" if faults else ""
    return (
        f"{folders}: has no clip of what was named ({', '.join(unknown)}){searched}, and none was deleted here before; "
        f"nothing was changed. Correct the name{hint}, or forbid it for runs to come with --allow-unknown"
    )
