"""Curate from Python or a notebook, as the command `avf-curate` does, with the same folders as result."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import load_selection
from avf_shards.schema.ledger import Decision, table_to_decisions
from avf_shards.settings.override_words import set_words
from avf_shards.stores.opening import open_location
from avf_shards.system.mirror_registry import push
from rich.console import Console

from avf_curation.audit.funnel import LedgerSummary, summarize_run
from avf_curation.console.audit_tables import print_audit
from avf_curation.console.progress_bar import ProgressBar
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.weights import default_weights_folder
from avf_curation.execution.signals import remember_interrupt
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.plan import parse_sources
from avf_curation.runs.progress import Progress
from avf_curation.sources.registry import load_recipe_for, warn_about_unread_corpora

IN_THIS_PROCESS = RunOptions(engine="inline")


@dataclass(frozen=True, kw_only=True)
class CuratedClip:
    """One clip of a run, and where it comes from."""

    key: str  # unique in all runs; the name of its files in shards
    source: str
    video: str  # within the source
    start_s: float  # of the clip in its video
    stop_s: float


@dataclass(frozen=True, kw_only=True)
class CurationRun:
    """A finished run in its folder. Printed, it is the table of `avf-curate audit`."""

    folder: Path

    def audit(self) -> LedgerSummary:
        """Return what was kept, rejected and failed, for each source, stage and reason."""
        return summarize_run(self._run)

    def decisions(self) -> list[Decision]:
        """Return the verdict on each span of each video: the rows of the ledger."""
        return table_to_decisions(self._run.ledger())

    def clips(self) -> list[CuratedClip]:
        """Return the clips of the spans that were kept, in the order of the ledger."""
        return [
            CuratedClip(
                key=key,
                source=decision.source,
                video=decision.video_id,
                start_s=decision.span.start_s,
                stop_s=decision.span.stop_s,
            )
            for decision in self.decisions()
            for key in decision.clips
        ]

    def write_page(self, path: Path | str, sources: Mapping[str, Path | str] | None = None) -> Path:
        """Write the audit page, one HTML file with charts and pictures, and return its path.

        Args:
            path: file to write.
            sources: folders of the sources, where they moved since the run.
        """
        from avf_curation.reports.audit_report import write_audit_report
        from avf_curation.runs.identity import remembered_roots

        roots = remembered_roots(self._run) | {name: Path(folder) for name, folder in (sources or {}).items()}
        write_audit_report(self._run, self.audit(), Path(path), roots=roots)
        return Path(path)

    def pack(self, out: Path | str, select: Path | str | None = None) -> Path:
        """Pack the clips into shards, which a trainer streams, and return their folder.

        Raises UserError where `out` holds something else.

        Args:
            out: folder of the shards.
            select: a selection, as `avf-shards pack --select` takes it; None packs all clips.
        """
        folder = open_location(out)
        pack_shards(self._run, folder, load_selection(None if select is None else Path(select)))
        push(folder)
        return folder

    def __str__(self) -> str:
        text = io.StringIO()
        print_audit(Console(file=text, width=120), self.audit())
        return text.getvalue()

    @property
    def _run(self) -> RunFolder:
        return RunFolder(self.folder)


def run(
    sources: Mapping[str, Path | str],
    out: Path | str,
    recipe: Mapping[str, Any] | Path | str | None = None,
    *,
    weights: Path | str | None = None,
    options: RunOptions = IN_THIS_PROCESS,
    on_progress: Callable[[Progress], None] | None = None,
) -> CurationRun:
    """Curate folders of videos, or of face pictures, into a run folder, and return the finished run.

    Called again with the same arguments it continues a run that was stopped, anywhere, and returns a finished one.
    Ctrl-C, or the stop button of a notebook, ends it so.

    Args:
        sources: name of each source and its folder.
        out: folder of the run.
        recipe: settings that differ from the default, as in {"sync": {"min_confidence": 4}}; or the path of a recipe,
            or the name of one that comes with the program. None takes the default.
        weights: folder of model files; None: the default folder.
        options: engine, cluster and device; RunOptions() starts Ray with one worker.
        on_progress: called after each video; None writes a line to standard error at most every 15 s.

    Raises:
        UserError: the settings, the sources, `out` or the machine do not allow this run; the message says why.
    """
    roots = parse_sources(f"{name}={folder}" for name, folder in sources.items())
    file, overrides = _split_recipe(recipe)
    loaded = load_recipe_for(roots, file, overrides)
    warn_about_unread_corpora(loaded, roots)
    backends = resolve_backends(loaded, Path(weights) if weights is not None else default_weights_folder())
    with remember_interrupt(), ProgressBar(_print_line) as bar:
        try:
            folder = curate(loaded, backends, roots, open_location(out), options, on_progress=on_progress or bar)
        except InfrastructureError as error:
            raise UserError(str(error)) from error
    return CurationRun(folder=folder.root)


def _split_recipe(recipe: Mapping[str, Any] | Path | str | None) -> tuple[Path | None, list[str]]:
    """Return the file of a recipe, if it is one, and settings as `--set` takes them."""
    if recipe is None or isinstance(recipe, (str, Path)):
        return (None if recipe is None else Path(recipe)), []
    return None, set_words(recipe)


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
