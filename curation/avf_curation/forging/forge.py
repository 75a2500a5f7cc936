"""Make a folder of real and forged videos, with a labels.csv, out of a folder of real ones.

    OUT/labels.csv             file, fake, original, forged, method, segments, subject and split; written last
    OUT/NAME/real.mp4          the real video, decoded and encoded as often as its forgeries
    OUT/NAME/METHOD.mp4        a forgery, with as many bytes
    OUT/.forge/settings.json   what the folder was made with
    OUT/.forge/rows/N.json     the rows of one original, written when its files are there

The same folder, settings and seed give the same bytes with any number of processes. A stopped call is continued by the
same call.
"""

import csv
import hashlib
import io
import json
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system.durable_io import make_folder, replace_file
from avf_shards.system.run_lock import RunLock
from avf_shards.text import count_noun

from avf_curation.forging.methods import METHODS
from avf_curation.forging.original_films import STATE, ForgeConfig, ForgeWork, LabelRow, forge_original, read_state
from avf_curation.forging.originals import Original, list_originals
from avf_curation.sources.file_table import TABLE
from avf_curation.sources.types import SkippedInput

COLUMNS = ("file", "fake", "original", "forged", "method", "segments", "subject", "split")
MIN_SECONDS, MAX_SECONDS = 4.0, 30.0  # a take lies in memory
_SETTINGS = f"{STATE}/settings.json"
_LOCK = "forge"  # markers of the process that makes the folder


@dataclass(frozen=True, kw_only=True)
class ForgeResult:
    """What a folder holds in the end."""

    real: int  # videos
    fakes: dict[str, int]  # method -> videos
    people: int
    splits: dict[str, int]  # split -> videos, real and fake
    unused: dict[str, str]  # name of an original -> why nothing was made of it
    missed: dict[str, str]  # "NAME METHOD" -> why this forgery was not made
    skipped_inputs: tuple[SkippedInput, ...]  # files of the folder that are no video


def forge_folder(
    folder: Path,
    out: Path,
    config: ForgeConfig,
    *,
    processes: int = 1,
    follow_symlinks: bool = False,
    on_original: Callable[[int, int], None] = lambda done, total: None,
) -> ForgeResult:
    """Make `out` out of the real videos below `folder`.

    Args:
        on_original: called with the number of originals that are done, and of all.

    Raises:
        UserError: a setting is out of range, `out` lies in `folder` or around it, holds other files or was made with
            other settings, another process makes it, or nothing can be made.
    """
    _check_settings(config)
    _check_folders(folder, out)
    originals, skipped = list_originals(folder, config.seed, follow_symlinks=follow_symlinks)
    work = ForgeWork(folder=folder, out=out, config=config, originals=tuple(originals))
    make_folder(out / STATE)
    with RunLock(out / STATE, _LOCK, f"--out {out}"):
        _begin(out, folder, config, originals)
        rows, unused, missed = _forge_all(work, processes, on_original)
    return _summarize(rows, unused, missed, skipped)


def _forge_all(
    work: ForgeWork, processes: int, on_original: Callable[[int, int], None]
) -> tuple[list[LabelRow], dict[str, str], dict[str, str]]:
    """Write the files and the table; return its rows, and why videos were not used and forgeries not made."""
    originals = work.originals
    jobs = [partial(forge_original, work, number) for number in range(len(originals))]
    answers = []
    for answer in _run(jobs, processes):
        answers.append(answer)
        on_original(len(answers), len(originals))
    rows = [row for answer in answers for row in answer["rows"]]
    unused = {name: reason for answer in answers for name, reason in answer["unused"].items()}
    missed = {name: reason for answer in answers for name, reason in answer["missed"].items()}
    if not any(row["fake"] == "1" for row in rows):
        name, reason = next(iter({**unused, **missed}.items()))
        raise UserError(
            f"{work.folder}: no forgery could be made of {count_noun(len(originals), 'video')}, as of {name}: {reason}"
        )
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(work.out / TABLE, table.getvalue().encode())
    return rows, unused, missed


def _check_settings(config: ForgeConfig) -> None:
    unknown = [name for name in config.methods if name not in METHODS]
    if unknown or not config.methods:
        raise UserError(f"--methods {','.join(config.methods)}: must be names of {', '.join(METHODS)}")
    if not MIN_SECONDS <= config.seconds <= MAX_SECONDS:
        raise UserError(f"--seconds {config.seconds:g}: must be from {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    if config.fakes is not None and not 1 <= config.fakes <= len(config.methods):
        raise UserError(f"--fakes {config.fakes}: must be from 1 to {len(config.methods)}, the number of methods")


def _check_folders(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}")
    inside, around = (
        lower.resolve().is_relative_to(upper.resolve()) for lower, upper in ((out, folder), (folder, out))
    )
    if inside or around:
        where = "in" if inside else "around"
        raise UserError(f"--out {out}: lies {where} {folder}, whose videos are read; name a folder beside it")
    if out.is_dir() and not (out / _SETTINGS).is_file() and any(path.name != STATE for path in out.iterdir()):
        raise UserError(f"--out {out}: holds files that avf-curate forge did not make; name a new folder")


def _begin(out: Path, folder: Path, config: ForgeConfig, originals: Sequence[Original]) -> None:
    """Write the settings of a new folder, or compare them with those of a folder that is there."""
    listed = [[original.name, original.path.encode("utf-8", "surrogateescape").hex(), original.size_bytes,
               original.subject] for original in originals]  # fmt: skip
    settings = {
        "methods": list(config.methods),
        "fakes": config.fakes,
        "seed": config.seed,
        "seconds": config.seconds,
        "originals": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
    }
    path = out / _SETTINGS
    if not path.is_file():
        make_folder(out / STATE / "rows")
        replace_file(path, (json.dumps(settings, indent=1) + "\n").encode())
        return
    before = read_state(path)
    for name, value in settings.items():
        if before.get(name) != value:
            change = f"--{name} {before.get(name)}, and not {value}"
            change = f"other videos than {folder} has now" if name == "originals" else change
            raise UserError(f"--out {out}: was made with {change}; take a new --out")


def _run(jobs: Sequence[Callable[[], dict[str, Any]]], processes: int) -> Iterator[dict[str, Any]]:
    """Yield the answers in the order of the jobs."""
    if processes == 1:
        yield from (job() for job in jobs)
        return
    # Spawned, because a fork would copy the threads' locks of libraries that are at work here.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_ignore_interrupts) as pool:
        try:
            pending: deque[Future[dict[str, Any]]] = deque()
            for job in jobs:
                pending.append(pool.submit(job))
                if len(pending) == processes:  # no more: what waits in the pool could not be taken back
                    yield pending.popleft().result()
            yield from (future.result() for future in pending)
        except BaseException:  # Ctrl-C too: what has not begun is left for the next call
            pool.shutdown(cancel_futures=True)
            raise


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _summarize(
    rows: Sequence[LabelRow], unused: dict[str, str], missed: dict[str, str], skipped: Sequence[SkippedInput]
) -> ForgeResult:
    fakes = [row["method"] for row in rows if row["fake"] == "1"]
    splits = [row["split"] for row in rows if row["split"]]
    return ForgeResult(
        real=len(rows) - len(fakes),
        fakes={method: fakes.count(method) for method in METHODS if method in fakes},
        people=len({row["subject"] for row in rows}),
        splits={split: splits.count(split) for split in ("train", "val", "test") if split in splits},
        unused=unused,
        missed=missed,
        skipped_inputs=tuple(skipped),
    )
