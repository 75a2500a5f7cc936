"""Promise: `python -m benchmarks.faults` injects what docs/faults.md says, and counts what a broken product loses.

Each part tries a few of its faults. With the guard taken away that they are aimed at, the same part has to count them:
one that no longer reaches the product would fill the page with zeros.
"""

import itertools
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from avf_curation.detectors import weights
from avf_curation.pipeline import failures
from avf_curation.sources.listing import Listing
from avf_shards.deletion.requests import DeletionRequest
from avf_shards.system import run_lock

from benchmarks.faults import __main__ as command
from benchmarks.faults import bits, files, kills, storage, subjects, writers
from benchmarks.faults.parts import PARTS
from benchmarks.faults.trials import Trial

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg, which writes films")


class AllBut(frozenset[str]):
    """Cases to pass over: all but one of `share`, drawn by their names."""

    share: int

    def __new__(cls, share: int) -> "AllBut":
        self = super().__new__(cls)
        self.share = share
        return self

    def __contains__(self, case: object) -> bool:
        return zlib.crc32(str(case).encode()) % self.share != 0


def inject(name: str, count: int = 0, share: int = 1, most: int | None = None) -> list[Trial]:
    """Return the trials of a part: those of one case of `share`, and of these the first `most`."""
    (part,) = (part for part in PARTS if part.name == name)
    return list(itertools.islice(part.inject()(count, AllBut(share)), most))


@pytest.fixture(autouse=True)
def _logging_goes_on() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)  # the command silences the warnings of its process


@pytest.fixture(autouse=True)
def _own_weight_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "KNOWN", dict(weights.KNOWN))  # the part `bits` enters a file of its own


def few_files(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    monkeypatch.setattr(files, "BATCH", 2)
    return inject("files", 6)


#: Part -> its few trials, their rows, what may become of them.
PARTS_IN_SHORT: dict[str, tuple[Callable[[], list[Trial]], int, set[str]]] = {
    "kills": (lambda: inject("kills", 2, most=4), 2, {"same result"}),
    "writers": (
        lambda: inject("writers", 2),
        9,
        {
            "the first refused",
            "the second refused",
            "both did their work",
            "the first stopped with the error of a file",
        },
    ),
    "bits": (lambda: inject("bits", 1), 26, {"named", "changes nothing that is read"}),
    "listings": (
        lambda: inject("listings", share=6),
        7,
        {
            "no plan, the folder is named",
            "planned without it, counted as unreadable",
            "noted as unreadable",
            "no plan, the reason is told",
        },
    ),
    "clocks": (
        lambda: inject("clocks", 1),
        5,
        {"refused", "taken over", "the same bytes"},
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "writers" else []) for name in PARTS_IN_SHORT]
)
def test_a_part_injects_its_faults_and_nothing_is_lost(name: str) -> None:
    work, rows, outcomes = PARTS_IN_SHORT[name]
    trials = work()
    assert [trial for trial in trials if trial.lost or trial.silent] == []
    assert len({trial.row for trial in trials}) == rows
    assert {trial.outcome for trial in trials} <= outcomes


@pytest.mark.slow
def test_saving_a_checkpoint_is_killed_too() -> None:
    trials = [trial for trial in inject("kills", 2) if trial.row == "saving a checkpoint"]
    assert [trial.outcome for trial in trials] == ["the newest or the one before is whole"] * 2


@needs_ffmpeg
@pytest.mark.slow
def test_storage_that_fails_is_injected_into_films_commands_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_FILMS", storage._FILMS[:1])
    trials = inject("storage", 1, share=40)
    assert [trial for trial in trials if trial.lost or trial.silent] == []
    rows = {trial.row for trial in trials}
    assert any(row.startswith("read of") for row in rows)
    assert {"avf-curate verify", "avf-shards verify", "write or fsync of plan, curation and pack"} <= rows


@needs_ffmpeg
@pytest.mark.slow
def test_damaged_and_hostile_files_have_a_verdict_each(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = few_files(monkeypatch)
    assert len(trials) == 6
    assert len({trial.row for trial in trials}) == 3
    assert [trial for trial in trials if trial.lost or trial.silent or trial.outcome == "undecided"] == []
    assert all(0 < trial.peak_mb < 1500 for trial in trials)


def forget_the_lock(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    monkeypatch.setattr(run_lock, "_is_alive", lambda *_: (False, True))
    return inject("clocks", share=4, most=8)


def verify_nothing(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    monkeypatch.setattr(bits, "verify_run", lambda _: [])
    return inject("bits", 1, most=8)


def note_no_folder(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    monkeypatch.setattr(Listing, "skip_unreadable", lambda *_: None)
    return inject("listings", most=8)


def write_the_process_number(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    def curate_and_pack(source: Path, out: Path) -> None:
        subjects.curate_and_pack(source, out)
        (out / "process").write_text(str(os.getpid()))

    monkeypatch.setattr(kills, "curate_and_pack", curate_and_pack)
    return inject("kills", 2, most=2)


def delete_nothing_in_another_process(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    delete, process = writers.delete_clips, os.getpid()

    def delete_clips(shards: Path, request: DeletionRequest) -> object:
        return delete(shards, request) if os.getpid() == process else None

    monkeypatch.setattr(writers, "delete_clips", delete_clips)
    return inject("writers", 2, most=2)


def take_failing_storage_for_damage(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    monkeypatch.setattr(failures, "is_machine_fault", lambda _: False)
    return inject("storage", 1, most=3)


@pytest.mark.parametrize(
    "break_and_inject",
    [
        forget_the_lock,
        verify_nothing,
        note_no_folder,
        write_the_process_number,
        delete_nothing_in_another_process,
        pytest.param(take_failing_storage_for_damage, marks=needs_ffmpeg),
    ],
)
def test_a_broken_product_is_counted(
    break_and_inject: Callable[[pytest.MonkeyPatch], list[Trial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(trial.lost or trial.silent for trial in break_and_inject(monkeypatch))


def test_a_part_that_tries_nothing_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kills, "try_kills", lambda *_: iter(()))
    page = tmp_path / "faults.md"
    page.write_text("<!-- sums -->\n<!-- end sums -->\n")
    monkeypatch.setattr(sys, "argv", ["faults", "kills", "--journals", str(tmp_path), "--page", str(page)])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 1
    assert "kills: nothing tried" in capsys.readouterr().out
