"""`avf-curate demo`: make the corpus, curate it, pack it, verify it, write the page, say where everything is."""

import logging
import time
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection, SourceSelection
from avf_shards.packing.verify import verify_shards

from avf_curation.audit.funnel import summarize_run
from avf_curation.console.progress_bar import ProgressBar
from avf_curation.console.tables import print_audit
from avf_curation.console.terminal import make_console
from avf_curation.demo.corpus import HELD_OUT, RECIPE, SOURCES, write_corpus
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.reports.audit_report import write_audit_report
from avf_curation.runs.curation import Engine, RunOptions, curate

_LOG = logging.getLogger(__name__)


def run_demo(out: Path, engine: Engine, workers: int) -> int:
    """The whole main job on made-up video, in `out`; 1 when something is not as it must be."""
    start = time.monotonic()
    make_demo_folder(out)
    _LOG.info("making six small sources (nothing is downloaded)")
    corpus = out / "corpus"
    write_corpus(corpus)
    recipe_file = out / "demo.yaml"
    recipe_file.write_text(RECIPE, "utf-8")
    recipe = load_recipe(recipe_file)
    # Embedded backends whatever weights are here: the corpus' truth is stated for them.
    choice = resolve_backends(recipe, out / "no-weights")
    _LOG.info("curating with %s, %d worker%s", engine, workers, "s" if workers > 1 else "")
    sources = {name: corpus / name for name in SOURCES}
    with ProgressBar() as bar:
        run = curate(
            recipe,
            choice,
            sources,
            out / "run",
            RunOptions(engine=engine, cluster=ClusterConfig(workers=workers)),
            on_progress=bar,
        )
    result = summarize_run(run)
    print_audit(make_console(), result)
    _LOG.info("packing shards")
    taught = {name: SourceSelection() for name in SOURCES if name != HELD_OUT}
    pack_shards(run, out / "shards", Selection(clips_per_shard=8, sources=taught))
    pack_shards(run, out / "held-out", Selection(sources={HELD_OUT: SourceSelection()}))
    faults = verify_shards(out / "shards") + verify_shards(out / "held-out")
    for fault in faults:
        _LOG.error("%s", fault)
    page = out / "report.html"
    write_audit_report(run, result, page, 0, None)
    if not faults:
        _LOG.info("done in %.0f s; every shard verified", time.monotonic() - start)
    for what, path in (
        ("raw video", corpus),
        ("recipe", recipe_file),
        ("run and ledger", out / "run"),
        ("shards", out / "shards"),
        ("shards, held out", out / "held-out"),
        ("audit page", page),
    ):
        print(f"  {what:<18}{path}")
    print(f"next: avf-shards ls {out / 'shards'} --keys, then avf-shards lineage {out / 'shards'} KEY")
    return 1 if faults or result.law else 0


def make_demo_folder(out: Path) -> None:
    """The folder of a demo. Raises UserError when a file is there."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
