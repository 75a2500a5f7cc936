"""`avf-curate demo`: make a corpus, curate, pack and verify it, write the audit report, and print the paths.

`--labelled` does the same with two labelled corpora, for `avf-train study it_learns`, and `--frames` with people whose
every frame has labels, and `--forged` with people whose videos are real or forged.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from avf_shards.cli.standard_output import forgive_closed_output
from avf_shards.errors import UserError
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection, SourceSelection
from avf_shards.packing.verify import verify_shards
from avf_shards.system.own_files import PAGE, OwnFile, require_replaceable
from avf_shards.text import count_noun

from avf_curation.audit.funnel import summarize_run
from avf_curation.console.audit_tables import print_audit
from avf_curation.console.progress_bar import ProgressBar
from avf_curation.console.terminal import make_console
from avf_curation.demo.corpus import RECIPE, SOURCES, VALIDATION_SOURCE, write_corpus
from avf_curation.demo.expressions import ACTORS, CROWD, Cast, dataset_row, write_cast
from avf_curation.demo.forged_corpus import FORGED, ForgedCorpus, write_forged_corpus
from avf_curation.demo.frame_corpus import DRAWN_PEOPLE, FrameCorpus, write_frame_corpus
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.reports.audit_report import write_audit_report
from avf_curation.runs.curation import Engine, RunOptions, curate

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DemoRun:
    """How corpora of a demo are curated and packed."""

    sources: tuple[str, ...]  # folders below OUT/corpus
    recipe: str  # a recipe of the package, or a file that `Demo.files` puts into OUT
    shards: Mapping[str, Selection]  # folder below OUT -> the clips or pictures that are packed into it
    folder: str = "run"  # below OUT
    report: str = "report.html"  # the audit page, below OUT


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The corpora of a demo, and what is done with them."""

    about: str  # words for the corpora, for the log
    write_corpora: Callable[[Path, int], None]  # into the folder OUT/corpus, with so many processes
    runs: tuple[DemoRun, ...]  # in this order
    files: Mapping[str, str]  # name -> text of further files in OUT
    next_steps: tuple[str, ...]  # commands to try next; {out} stands for OUT
    results: Mapping[str, str] = field(default_factory=dict)  # words -> path below OUT, printed at the end


def unlabelled_demo() -> Demo:
    """Return the demo of six small sources with every case that the pipeline must distinguish."""
    training = {name: SourceSelection() for name in SOURCES if name != VALIDATION_SOURCE}
    shards = {
        "shards": Selection(clips_per_shard=8, sources=training),
        "validation": Selection(sources={VALIDATION_SOURCE: SourceSelection()}),
    }
    return Demo(
        about="six small sources",
        write_corpora=write_corpus,
        runs=(DemoRun(sources=SOURCES, recipe="demo.yaml", shards=shards),),
        files={"demo.yaml": RECIPE},
        next_steps=("avf-shards ls {out}/shards --keys", "avf-shards lineage {out}/shards KEY"),
        results={"recipe": "demo.yaml", "validation shards": "validation"},
    )


def labelled_demo(casts: tuple[Cast, ...] = (ACTORS, CROWD)) -> Demo:
    """Return the demo of labelled corpora, one per cast, with their rows of the table of labelled data sets."""

    def write_casts(folder: Path, processes: int) -> None:
        folder.mkdir(exist_ok=True)
        for cast in casts:
            write_cast(cast, folder / cast.name, processes)

    sources = tuple(cast.name for cast in casts)
    return Demo(
        about=f"{len(casts)} labelled corpora",
        write_corpora=write_casts,
        runs=(DemoRun(sources=sources, recipe="labelled", shards={"shards": Selection(clips_per_shard=32)}),),
        files={f"{cast.name}.yaml": dataset_row(cast) for cast in casts},
        next_steps=("cd {out}", "avf-train study it_learns --shards shards --unlabelled shards --out study"),
        results={"data-set row": f"{casts[0].name}.yaml"},
    )


def frames_demo(people: FrameCorpus = DRAWN_PEOPLE) -> Demo:
    """Return the demo of drawn people with the truth of every frame: their videos, and pictures of other people."""
    return Demo(
        about="videos and face pictures with labels of every frame",
        write_corpora=partial(write_people, people),
        runs=(
            DemoRun(sources=("videos",), recipe="labelled", shards={"shards": Selection(clips_per_shard=16)}),
            DemoRun(
                sources=("pictures",),
                recipe="pictures",
                shards={"pictures": Selection(clips_per_shard=256)},
                folder="picture-run",
                report="pictures.html",
            ),
        ),
        files={},
        next_steps=(
            "avf-train frame-labels {out}/shards --out {out}/labels",
            "avf-train pretrain-images {out}/pictures --recipe image_mae_tiny --out {out}/mae",
        ),
        results={"picture shards": "pictures", "labels of frames": "corpus/videos/labels.csv"},
    )


def forged_demo(corpus: ForgedCorpus = ForgedCorpus()) -> Demo:  # noqa: B008  a frozen dataclass
    """Return the demo of drawn people whose videos are real or forged, with the truth of every moment."""
    return Demo(
        about=f"videos of {corpus.people} people, real and forged",
        write_corpora=partial(write_forged_corpus, corpus),
        runs=(DemoRun(sources=(FORGED,), recipe="deepfakes", shards={"shards": Selection(clips_per_shard=32)}),),
        files={},
        next_steps=("avf-shards ls {out}/shards --keys", "avf-train datasets --new {out}/shards"),
        results={"labels and segments": "corpus/forged/labels.csv"},
    )


def write_people(people: FrameCorpus, folder: Path, processes: int) -> None:
    """Write the corpus of `people` as `folder`."""
    write_frame_corpus(folder, people, processes)


def run_demo(out: Path, engine: Engine, workers: int, demo: Demo) -> int:
    """Make, curate, pack and verify the corpora of `demo` in the folder `out`.

    Returns:
        0, or 1 where a shard is damaged or the ledger leaves a frame without a verdict.

    Raises:
        UserError: `out` is a file, or holds other files under the names of the demo's.
    """
    start = time.monotonic()
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; name a folder")
    _refuse_other_files(out, demo)
    out.mkdir(parents=True, exist_ok=True)
    _LOG.info("making %s (nothing is downloaded)", demo.about)
    corpus = out / "corpus"
    demo.write_corpora(corpus, workers if engine == "ray" else 1)
    for name, text in demo.files.items():
        (out / name).write_text(text, "utf-8")
    ended = [_run_part(part, demo, out, engine, workers) for part in demo.runs]
    if all(ended):
        _LOG.info("done in %.0f s; every shard verified", time.monotonic() - start)
    report = out / demo.runs[0].report
    results = {"raw video": "corpus", "run and ledger": "run", "shards": "shards", "audit report": report.name}
    with forgive_closed_output():
        for label, path in {**results, **demo.results}.items():
            print(f"  {label:<18} {out / path}")
        print(f"Look first at {report} in a browser:")
        print("what was kept and dropped in each source, and why. Then try:")
        for command in demo.next_steps:
            print(f"  {command.format(out=out)}")
    return 0 if all(ended) else 1


def _refuse_other_files(out: Path, demo: Demo) -> None:
    """Raise UserError where files that the demo writes are there with other content, such as an edited recipe."""
    for name, text in demo.files.items():
        same = partial(_has_text, text=text)
        require_replaceable(out / name, OwnFile(noun="the demo's, or was edited", knows=same))
    for part in demo.runs:
        require_replaceable(out / part.report, PAGE)


def _has_text(path: Path, *, text: str) -> bool:
    return path.read_bytes() == text.encode()


def _run_part(part: DemoRun, demo: Demo, out: Path, engine: Engine, workers: int) -> bool:
    """Curate, pack and verify corpora of a demo, and write their audit page; return whether all is right."""
    path = out / part.recipe if part.recipe in demo.files else Path(part.recipe)
    recipe = load_recipe(path)
    # The embedded backends, whatever weights are installed, and the envelope, which is faster: the corpus' expected
    # verdicts hold for them alone.
    backends = resolve_backends(load_recipe(path, ["sync.backend=envelope"]), out / "no-weights")
    _LOG.info("curating with %s, %s", engine, count_noun(workers, "worker"))
    options = RunOptions(engine=engine, cluster=ClusterConfig(workers=workers))
    sources = {name: out / "corpus" / name for name in part.sources}
    with ProgressBar() as bar:
        run = curate(recipe, backends, sources, out / part.folder, options, on_progress=bar)
    summary = summarize_run(run)
    with forgive_closed_output():
        print_audit(make_console(), summary)
    _LOG.info("packing shards")
    faults = []
    for name, selection in part.shards.items():
        pack_shards(run, out / name, selection)
        faults += verify_shards(out / name)
    for fault in faults:
        _LOG.error("%s", fault)
    write_audit_report(run, summary, out / part.report)
    return not faults and not summary.accounting_errors
