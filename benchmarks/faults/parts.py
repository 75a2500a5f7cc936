"""The families of faults, each with the function that injects it."""

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from avf_curation.runs.deciding_modules import code_digests

from benchmarks.faults.trials import Trial

Inject = Callable[[int, frozenset[str]], Iterator[Trial]]
"""(count, cases to pass over) -> the trials; what `count` means is said in `Part.count`."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A family of faults: a section of the page, and a part that runs alone."""

    name: str  # on the command line
    title: str  # of its section
    note: str  # what is injected, and what "lost" and "silent" mean here
    function: str  # module:function of this package that injects it
    count: int  # how many faults of a kind are drawn, where there are more than can be tried; 0: all are tried
    tests: Sequence[str] = ()  # of the suite, which inject the same on a smaller scale

    def inject(self) -> Inject:
        """Return the function that injects the family. Its module is imported only now."""
        module, _, name = self.function.partition(":")
        return cast("Inject", getattr(importlib.import_module(f"benchmarks.faults.{module}"), name))

    def version(self, count: int) -> str:
        """Return a digest of the code that decides and of the part: trials of another version are no longer true."""
        source = Path(inspect.getfile(self.inject())).read_bytes()
        return hashlib.sha256(source + json.dumps([count, code_digests()]).encode()).hexdigest()[:16]


PARTS = (
    Part(
        name="kills",
        title="Kills",
        note="SIGKILL after each file operation of a job, and in the middle of each write; then the same command once more. What it ends with is "
        "compared with a job that nobody killed: bytes of run and shards; verdicts, clips and erased media after a takedown; weights and moments after "
        "a checkpoint. Random moments, workers and nodes of a cluster: [Benchmarks](benchmarks.md#kills).",
        function="kills:try_kills",
        count=0,
        tests=("tests/promises/test_kill_anywhere.py", "tests/shards/deletion/test_both_places.py"),
    ),
    Part(
        name="writers",
        title="Two writers",
        note="The first is stopped after each of its file operations, the second runs to its end, and the first goes on: once while its marker "
        "lives, and once as if the marker had expired. Who is refused is started once more. What is left must be what both leave one after the "
        "other: digests, clips, verdicts. Lost counts any other state.",
        function="writers:try_writers",
        count=0,
        tests=("tests/shards/deletion/test_two_writers.py", "tests/shards/system/test_run_lock.py"),
    ),
    Part(
        name="bits",
        title="Flipped bits",
        note="One bit of one file, drawn from a seed, then the command that reads it. Named: the command ends with an error, or sets the clip aside, "
        "and names the file. A command that does not read the byte goes on with the same content (changes nothing that is read).",
        function="bits:try_bits",
        count=200,
        tests=("tests/shards/packing/test_run_verification.py", "tests/promises/test_unreadable_clips.py"),
    ),
    Part(
        name="storage",
        title="Storage that fails",
        note="EIO, ESTALE, ENOTCONN, ETIMEDOUT, EHOSTDOWN, ENOMEM, EACCES, EMFILE, ENFILE, ENOSPC, EDQUOT and EROFS: at each operation on a film "
        "(stat, open, read) while a run curates it, EIO at every one and the others at up to six; at the reads of each committed file in each command that reads "
        "it; and six of them at each file operation of plan, curation and pack. Silent: a verdict or a result in spite of the error, or no name.",
        function="storage:try_storage",
        count=6,
        tests=(
            "tests/promises/test_storage_faults.py",
            "tests/promises/test_unreadable_inputs.py",
            "tests/curation/media/test_failing_reads.py",
        ),
    ),
    Part(
        name="listings",
        title="Listings that fail",
        note="Each folder of a source, and of each corpus layout that the tests write, fails to be listed with each of the twelve errnos. Silent: a plan without "
        "the folder's videos that does not say so.",
        function="listings:try_listings",
        count=0,
        tests=("tests/curation/sources/test_unreadable_folders.py",),
    ),
    Part(
        name="clocks",
        title="Clocks that step",
        note="Steps of a second to ten years, back and on. A second process asks for the lock of a living or a dead one: a lost lock of a living process "
        "counts as lost, a lock that a dead one holds as silent. A process of another machine that touched its marker less than a minute ago is not "
        "taken for dead. Then whole jobs whose wall clock says another time at each look.",
        function="clocks:try_clocks",
        count=20,
        tests=("tests/shards/system/test_run_lock.py", "tests/curation/runs/test_coordinator.py"),
    ),
    Part(
        name="files",
        title="Damaged and hostile files",
        note="Each row is a format of a film of 1.2 s with a drawn talker, damaged by one to three of: a bit, up to 300 bytes, a number at the end of "
        "its range, the end cut off, a range cut out, zeroed, repeated or exchanged, noise, another file's end or all of it; then come files that are "
        "written to do harm. Drawn from a seed, so the files are the same each time. `avf-curate run` curates 200 files of a row in one process (faces, "
        "tracking and encoding included; `sync` and `quality`, which decode nothing more, and the search for speech are skipped); its highest memory is "
        "the row's. Lost: the run ended and the ledger and the list of skipped files lack the file. Silent: no verdict, and no word on it.",
        function="files:try_files",
        count=10_000,
        tests=("tests/promises/test_bad_input.py", "tests/promises/test_small_bombs.py"),
    ),
)
"""In the order of the page."""
