"""Reads and writes that fail with each errno, at each operation on a file, and what the commands make of them."""

import contextlib
import errno
import functools
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import dlib
from avf_curation.cli.main import main as curate_main
from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.cli.main import main as shards_main
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system import durable_io
from support.clips import make_flashing_shards
from support.failing_reads import failing_reads
from support.runs import make_inputs
from support.trees import file_digests

from benchmarks.faults.errnos import MACHINE_ERRNOS, errno_name
from benchmarks.faults.films import FORMATS, write_film
from benchmarks.faults.subjects import curate_and_pack, list_operations, without_models
from benchmarks.faults.trials import Trial

_FILMS = ("MP4, H.264, AAC", "Matroska, H.264, FLAC", "MPEG-TS, H.264", "AVI, MPEG-4, MP3")
_SETTINGS = ("scenes.min_shot_s=0.4", "silence.min_clip_s=0.4", "faces.side_px=160", "track.side_px=160")
_QUICK = ("faces.min_face_px=24", "track.min_face_px=32", "gates.sync=skip", "gates.quality=skip", "clip.size_px=96")
_PLAN_OPERATIONS = 2  # of the operations on a film, those of the plan, which stops with its own sentence
_WRITE_ERRNOS = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ETIMEDOUT")
_Command = tuple[str, Callable[[Sequence[str]], int], tuple[str, ...]]


def try_storage(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what became of each failing operation; `count` limits how many operations of a film fail with each errno."""
    # Loading them takes longer than curating the film, and no read of the film fails in it.
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        detector = functools.cache(dlib.get_frontal_face_detector)
        stack.enter_context(mock.patch("dlib.get_frontal_face_detector", detector))
        stack.enter_context(mock.patch("avf_curation.execution.worker.check_tools", return_value=None))
        folder = Path(name)
        yield from _try_films(folder / "films", count, skipped)
        yield from _try_committed_files(folder / "committed", skipped)
        yield from _try_writes(folder / "writes", skipped)


def _try_films(folder: Path, count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Let each operation on a film fail with EIO, and a few with each other errno, while a run curates it."""
    for name in _FILMS:
        source = folder / name
        source.mkdir(parents=True)
        film = source / f"film.{FORMATS[name][0]}"
        film.write_bytes(write_film(name))
        clean = file_digests(_curate(source, folder / "clean").root)
        with failing_reads(film) as counter:
            _curate(source, folder / "counted")
        operations = range(_PLAN_OPERATIONS + 1, counter.count + 1)
        for number in MACHINE_ERRNOS:
            stride = 1 if errno_name(number) == "EIO" else max(1, len(operations) // count)
            for first in operations[::stride]:
                case = f"read of {name}: {errno_name(number)} from operation {first} on"
                if case not in skipped:
                    yield _try_film(film, folder / "run", case, clean, first=first, number=number)
        shutil.rmtree(folder)


def _try_film(film: Path, out: Path, case: str, clean: dict[str, str], *, first: int, number: int) -> Trial:
    shutil.rmtree(out, ignore_errors=True)
    message = ""
    with failing_reads(film, lambda count: count >= first, number):
        try:
            _curate(film.parent, out)
        except InfrastructureError as error:
            message = str(error)
    decided = bool(RunFolder(out).finished_units(0)) if out.is_dir() else False
    is_named = str(film) in message and errno_name(number) in message
    is_same = file_digests(_curate(film.parent, out).root) == clean
    outcome = "stopped with path and errno, nothing decided; then the same bytes"
    if not (is_named and is_same and not decided):
        outcome = (
            "decided"
            if decided
            else ("other bytes afterwards" if is_named else "stopped without the path or the errno")
        )
    bad = int(outcome.startswith(("decided", "other", "stopped without")))
    return Trial(case=case, row=case.partition(": ")[0], outcome=outcome, silent=bad, note=message[:200] if bad else "")


def _curate(source: Path, out: Path) -> RunFolder:
    recipe = load_recipe(None, ["plan.min_units=1", "silence.speech_backend=none", *_SETTINGS, *_QUICK])
    backends = BackendSelection(track="dlib", sync="envelope", weights={})
    return curate(recipe, backends, {"s": source}, out, RunOptions(engine="inline"))


def _try_committed_files(folder: Path, skipped: frozenset[str]) -> Iterator[Trial]:
    """Let every read of a committed file fail in each command that reads it; which do is known by counting."""
    make_flashing_shards(folder, {"a": 4}, clips_per_shard=2)
    run, shards = folder / "run", folder / "shards"
    commands: tuple[_Command, ...] = (
        ("avf-curate verify", curate_main, ("verify", str(run))),
        ("avf-curate audit", curate_main, ("audit", str(run))),
        ("avf-curate status", curate_main, ("status", str(run))),
        ("avf-shards pack", shards_main, ("pack", str(run), "--out", str(folder / "new"))),
        ("avf-shards verify", shards_main, ("verify", str(shards))),
        ("avf-shards ls", shards_main, ("ls", str(shards))),
    )
    files = [
        path for path in sorted([*run.rglob("*"), *shards.rglob("*")]) if path.is_file() and "log" not in path.parts
    ]
    for command in commands:
        for path in files:
            with failing_reads(path) as counter:
                assert _run(command, folder)[0] == 0
            if counter.count == 0:
                continue
            for number in MACHINE_ERRNOS:
                case = f"read of a committed file: {command[0]}, {path.relative_to(folder)}, {errno_name(number)}"
                if case not in skipped:
                    yield _try_command(command, folder, path, case, number)


def _try_command(command: _Command, folder: Path, path: Path, case: str, number: int) -> Trial:
    with failing_reads(path, lambda count: True, number):
        status, text = _run(command, folder)
    is_named = str(path) in text or path.name in text
    if status == 0:
        outcome = "goes on without the file"
    elif "Traceback" in text:
        outcome = "ends in a traceback"
    else:
        outcome = (
            "ends with the file and the error" if is_named and os.strerror(number) in text else "ends without the name"
        )
    bad = int(outcome != "ends with the file and the error")
    return Trial(case=case, row=command[0], outcome=outcome, silent=bad, note=text.strip()[-200:] if bad else "")


def _run(command: _Command, folder: Path) -> tuple[int, str]:
    """Return the exit status of a command and what it said."""
    shutil.rmtree(folder / "new", ignore_errors=True)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = command[1](command[2])
        except Exception as error:
            return 1, f"Traceback {type(error).__name__}: {error}"
    return status, output.getvalue()


def _try_writes(folder: Path, skipped: frozenset[str]) -> Iterator[Trial]:
    """Let each file operation of plan, curation and pack fail once; then the same command once more."""
    with without_models():
        source = make_inputs(folder / "inputs", 2)
        operations = list_operations(lambda: curate_and_pack(source, folder / "undisturbed"))
        expected = file_digests(folder / "undisturbed")
        for number, operation in enumerate(operations):
            # Half a write stands for the write; a removal that fails is one of what is not needed.
            if operation.partition(" ")[0] in ("write", "remove", "unlink"):
                continue
            for name in _WRITE_ERRNOS:
                case = f"write: {name} at operation {number}, {operation}"
                if case not in skipped:
                    yield _try_write(source, folder / "out", case, expected, number=number, name=name)


def _try_write(source: Path, out: Path, case: str, expected: dict[str, str], *, number: int, name: str) -> Trial:
    remaining, message, target = number, "", ""
    shutil.rmtree(out, ignore_errors=True)

    def fail(operation: str, path: Path) -> None:
        nonlocal remaining, target
        remaining -= 1
        if remaining == -1:
            target = str(path)
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)), target)

    with durable_io.watch(fail):
        try:
            curate_and_pack(source, out)
        except (InfrastructureError, OSError, UserError) as error:
            message = f"{type(error).__name__}: {error}"
    curate_and_pack(source, out)
    is_same = file_digests(out) == expected
    if not message:
        outcome = "tried once more and went on" if is_same else "went on to other bytes"
    elif target in message or Path(target).name in message:
        outcome = "stopped with path and error; then the same bytes" if is_same else "other bytes afterwards"
    else:
        outcome = "stopped without the path" if is_same else "other bytes afterwards"
    lost, silent = int("other bytes" in outcome), int(outcome == "stopped without the path")
    row = "write or fsync of plan, curation and pack"
    return Trial(case=case, row=row, outcome=outcome, lost=lost, silent=silent, note=message[:200])
