"""`avf-curate demo --labelled`: people who feel, curated as a labelled corpus is, for `avf-train study it_learns`."""

import logging
import time
from pathlib import Path

from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards

from avf_curation.audit.funnel import summarize_run
from avf_curation.console.progress_bar import ProgressBar
from avf_curation.console.tables import print_audit
from avf_curation.console.terminal import make_console
from avf_curation.demo.demo import make_demo_folder
from avf_curation.demo.expressions import ACTORS, CROWD, dataset_row, write_cast
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import Engine, RunOptions, curate

_LOG = logging.getLogger(__name__)


def run_labelled_demo(out: Path, engine: Engine, workers: int) -> int:
    """Make both corpora, curate and pack them, leave their rows of the data sets' table; 1 when something is wrong."""
    start = time.monotonic()
    make_demo_folder(out)
    _LOG.info("making two labelled corpora (nothing is downloaded)")
    sources = {}
    for troupe in (ACTORS, CROWD):
        sources[troupe.name] = out / "corpus" / troupe.name
        sources[troupe.name].parent.mkdir(exist_ok=True)
        write_cast(troupe, sources[troupe.name])
        (out / f"{troupe.name}.yaml").write_text(dataset_row(troupe), "utf-8")
    recipe = load_recipe(Path("labelled"))
    with ProgressBar() as bar:
        run = curate(
            recipe,
            resolve_backends(recipe, out / "no-weights"),
            sources,
            out / "run",
            RunOptions(engine=engine, cluster=ClusterConfig(workers=workers)),
            on_progress=bar,
        )
    result = summarize_run(run)
    print_audit(make_console(), result)
    pack_shards(run, out / "shards", Selection(clips_per_shard=32))
    faults = verify_shards(out / "shards")
    for fault in faults:
        _LOG.error("%s", fault)
    _LOG.info("done in %.0f s", time.monotonic() - start)
    for what, path in (("raw video", out / "corpus"), ("shards", out / "shards"), ("rows", out / "actors.yaml")):
        print(f"  {what:<18}{path}")
    print(f"next, in {out}: avf-train study it_learns --shards shards --unlabelled shards --out study")
    return 1 if faults or result.law else 0
