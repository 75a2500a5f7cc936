"""The download of a list, file after file: what is there already stays, and nothing is there by halves.

A file is downloaded into OUT/.fetch/tmp and gets its name when it is complete and on the disk. OUT/.fetch holds the
archive too, and the licence text that was accepted.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_shards.system.run_lock import RunLock
from avf_shards.system.storage_faults import read_bytes
from avf_shards.system.temporary_folder import claim_temporary_folder, clear_temporary_folder

from avf_curation.fetching.archive import Archive
from avf_curation.fetching.downloads import Downloader, DownloadSettings
from avf_curation.fetching.id_lists import FetchItem, FetchList, read_id_list
from avf_curation.fetching.licences import LICENCES
from avf_curation.fetching.outcomes import GONE, PASSING, FetchOutcome, Kind

log = logging.getLogger(__name__)

STATE = ".fetch"  # folder below OUT that no reader of a corpus looks into
_MAX_LIST_BYTES = 4_000_000_000
_MAX_NETWORK_FAULTS = 5  # one after another: the network is away, not a video

Show = Callable[[int, int, str], None]
"""Called with the files that are done, all files, and what is downloaded."""


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """What to download, and how gently."""

    download: DownloadSettings
    complete: bool = False  # complete videos in place of ranges
    pause_s: float = 5.0  # between two videos or ranges
    limit: int | None = None  # most files that this call asks for
    again: bool = False  # ask again for what an earlier call did not get, and for what is no longer there


@dataclass(kw_only=True)
class FetchReport:
    """What came of a list so far."""

    files: int  # that the list names
    outcomes: dict[str, FetchOutcome]  # path -> what came of it; a path that is not here was not asked for yet
    skipped_rows: list[str]  # rows of the list that are no download, each with the reason
    stopped: str = ""  # why the call ended before the end of the list
    new: Counter[Kind] = field(default_factory=Counter)  # outcomes of this call

    @property
    def counts(self) -> dict[Kind, int]:
        """FetchOutcome -> number of files."""
        return dict(Counter(outcome.kind for outcome in self.outcomes.values()))

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left that another call would ask for."""
        left = [outcome for outcome in self.outcomes.values() if outcome.kind in PASSING]
        return len(self.outcomes) == self.files and not left


def fetch_corpus(
    source: str, ids: Path, out: Path, settings: FetchSettings, show: Show = lambda done, total, name: None
) -> FetchReport:
    """Download a list into the folder `out`, laid out as the corpus' reader expects it; return what came of it.

    The caller has seen to it that the licence text was accepted. A second call goes on.

    Raises:
        ModuleNotFoundError: yt-dlp is not installed.
        UserError: the list cannot be read, ranges need ffmpeg, `out` has another list or another process at work.
    """
    fetch_list = read_id_list(source, ids, complete=settings.complete)
    downloader = Downloader(settings.download, ranges=any(item.start_s is not None for item in fetch_list.items))
    state = out / STATE
    durable_io.make_folder(state)
    with RunLock(state, "fetch", str(out)) as lock:
        temporary = state / "tmp"
        clear_temporary_folder(temporary)
        _copy_list(fetch_list, ids, out)
        durable_io.replace_file(state / f"licence-{source}.txt", (LICENCES[source] + "\n").encode())
        archive = Archive(state / "archive.tsv")
        report = _start_report(fetch_list, archive)
        try:
            work = _items_left(fetch_list.items, out, archive, settings)
            _Fetch(downloader, archive, out, temporary, settings).run(work, report, show, lock.check)
        finally:
            clear_temporary_folder(temporary)
    return report


def _start_report(fetch_list: FetchList, archive: Archive) -> FetchReport:
    known = {item.path: archive.outcomes[item.path] for item in fetch_list.items if item.path in archive.outcomes}
    rows = [f"{row.path}: {row.reason}" for row in fetch_list.skipped_rows]
    return FetchReport(files=len(fetch_list.items), outcomes=known, skipped_rows=rows)


def _items_left(items: Sequence[FetchItem], out: Path, archive: Archive, settings: FetchSettings) -> list[FetchItem]:
    """Return the files to ask for: those without an outcome that lasts. A file that stands there is never asked for."""
    left = []
    for item in items:
        outcome = archive.outcomes.get(item.path)
        if (out / item.path).is_file():
            if outcome is None or outcome.kind != "fetched":  # a kill came between the file's name and its line
                archive.add(item.path, FetchOutcome(kind="fetched"))
        elif outcome is None or outcome.kind in PASSING or settings.again:
            left.append(item)
    return left[: settings.limit]


def _copy_list(fetch_list: FetchList, ids: Path, out: Path) -> None:
    """Put the list where the corpus' reader looks for it. Raises UserError where another list stands there."""
    if fetch_list.list_name is None:
        return
    target, content = out / fetch_list.list_name, read_bytes(ids, _MAX_LIST_BYTES)
    if not target.exists():
        durable_io.replace_file(target, content)
    elif read_bytes(target, _MAX_LIST_BYTES) != content:
        raise UserError(f"{target}: is another list than {ids}; name another folder with --out, or move it away")


class _Fetch:
    """Downloads files one after another."""

    def __init__(
        self, downloader: Downloader, archive: Archive, out: Path, temporary: Path, settings: FetchSettings
    ) -> None:
        self._downloader, self._archive, self._settings = downloader, archive, settings
        self._out, self._temporary = out, temporary

    def run(self, items: Sequence[FetchItem], report: FetchReport, show: Show, check: Callable[[], None]) -> None:
        """Download the files, and note in the report what came of each and why the work ended early."""
        gone: dict[str, FetchOutcome] = {}  # video -> why none of its ranges can be had
        faults, asked = 0, False
        for number, item in enumerate(items):
            check()
            show(number, len(items), item.path)
            outcome = gone.get(item.video_id)
            if outcome is None:
                if asked:
                    time.sleep(self._settings.pause_s)
                asked, outcome = True, self._fetch(item)
            if outcome.kind in GONE:
                gone[item.video_id] = outcome
            self._archive.add(item.path, outcome)
            report.outcomes[item.path] = outcome
            report.new[outcome.kind] += 1
            log.info("%s: %s %s", item.path, outcome.kind, outcome.reason)
            faults = faults + 1 if outcome.kind == "network" else 0
            if outcome.kind == "refused":
                report.stopped = f"the site asks to stop ({outcome.reason}); go on hours later, with a longer --pause"
                return
            if faults == _MAX_NETWORK_FAULTS:
                report.stopped = f"{faults} faults of the network in a row, the last: {outcome.reason}"
                return
        show(len(items), len(items), "")

    def _fetch(self, item: FetchItem) -> FetchOutcome:
        """Download one file and give it its name."""
        claim_temporary_folder(self._temporary)
        folder = self._temporary / "download"
        durable_io.make_new_folder(folder)
        outcome, path = self._downloader.download(item, folder)
        if path is not None:
            target = self._out / item.path
            if item.beside is not None:
                source, beside = item.beside
                durable_io.make_folder((self._out / beside).parent)
                if not (self._out / beside).exists():
                    durable_io.replace_file(self._out / beside, read_bytes(source, _MAX_LIST_BYTES))
            durable_io.make_folder(target.parent)
            durable_io.sync_file(path)
            durable_io.publish_file(path, target)
        return outcome
