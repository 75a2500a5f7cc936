"""Folders that cannot be listed, in a plain source and in each corpus layout: the plan names them or stops."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.sources.registry import list_inputs
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from support import corpora

from benchmarks.faults.errnos import MACHINE_ERRNOS, errno_name
from benchmarks.faults.trials import Trial

_TREE = ("a/1.mp4", "a/x/2.mp4", "b/3.mp4", "b/y/z/4.mp4", "c/5.mp4")
_CORPORA: dict[str, Callable[[Path], object]] = {
    "voxceleb2": corpora.voxceleb2,
    "avspeech": corpora.avspeech,
    "cncvs": corpora.cncvs,
    "celebvhq": corpora.celebvhq,
    "mer2024": corpora.mer2024,
}


@contextlib.contextmanager
def failing_listing(folder: Path, number: int) -> Iterator[list[str]]:
    """Let listing one folder fail inside the block; yield a list that then has an entry for each try."""
    real, tries = os.scandir, list[str]()

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and os.fspath(path) == str(folder):
            tries.append(str(path))
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    with mock.patch.object(os, "scandir", scandir):
        yield tries


def try_listings(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what a plan makes of each folder that cannot be listed, with each errno."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in"
        for file in _TREE:
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_bytes(b"film")
        for each in _folders(source):
            for number in MACHINE_ERRNOS:
                case = f"{each.relative_to(folder)} {errno_name(number)}"
                if f"plan {case}" not in skipped:
                    yield _try_plan(source, each, folder / "run", f"plan {case}", number)
                if f"allowed {case}" not in skipped and each != source:
                    yield _try_allowed(source, each, folder / "run", f"allowed {case}", number)
        for corpus, write in _CORPORA.items():
            write(folder / corpus)
            for each in _folders(folder / corpus):
                for number in MACHINE_ERRNOS:
                    case = f"corpus {each.relative_to(folder)} {errno_name(number)}"
                    if case not in skipped:
                        trial = _try_corpus(corpus, folder / corpus, each, case, number)
                        if trial is not None:
                            yield trial


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]


def _try_plan(source: Path, folder: Path, run: Path, case: str, number: int) -> Trial:
    with failing_listing(folder, number):
        status, text = _plan(source, run)
    name = "the folder cannot be read" if folder == source else f"{folder.relative_to(source)}: cannot be read"
    is_named = status == 2 and name in text and not RunFolder(run).attempts()
    shutil.rmtree(run, ignore_errors=True)
    outcome = "no plan, the folder is named" if is_named else "another plan, or no name"
    return Trial(
        case=case,
        row="plan of a folder",
        outcome=outcome,
        silent=int(not is_named),
        note="" if is_named else text[-200:],
    )


def _try_allowed(source: Path, folder: Path, run: Path, case: str, number: int) -> Trial:
    with failing_listing(folder, number):
        status, text = _plan(source, run, "--allow-unreadable")
    inside = sum((source / file).is_relative_to(folder) for file in _TREE)
    is_counted = (
        status == 0
        and "could not be read" in text
        and RunFolder(run).count_unreadable() == 1
        and RunFolder(run).plan_summary().videos == len(_TREE) - inside
    )
    shutil.rmtree(run, ignore_errors=True)
    outcome = "planned without it, counted as unreadable" if is_counted else "not counted"
    note = "" if is_counted else text[-200:]
    return Trial(case=case, row="plan --allow-unreadable", outcome=outcome, silent=int(not is_counted), note=note)


def _plan(source: Path, run: Path, *options: str) -> tuple[int, str]:
    output = io.StringIO()
    command = ["plan", "--source", f"s={source}", "--out", str(run), "--weights", str(run), *options]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return main(command), output.getvalue()


def _try_corpus(corpus: str, root: Path, folder: Path, case: str, number: int) -> Trial | None:
    """Return what the reader of a corpus makes of a folder that fails; None where it does not list the folder."""
    notes: list[Any] = []
    with failing_listing(folder, number) as tries:
        try:
            list(list_inputs(corpus, root, load_recipe().defaults.plan, notes))
            outcome = "noted as unreadable" if any(item.kind == "unreadable" for item in notes) else "not noted"
        except UserError:
            outcome = "no plan, the reason is told"
        except OSError as error:
            outcome = "no plan, the reason is told" if str(folder) in str(error) else "an error without the folder"
    if not tries:
        return None
    bad = int(outcome in ("not noted", "an error without the folder"))
    return Trial(case=case, row=f"layout of {corpus}", outcome=outcome, silent=bad)
