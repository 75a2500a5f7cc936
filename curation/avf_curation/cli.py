"""avf-curate: raw video becomes spans with a verdict for every second of input."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avf_shards.command import answered, guarded, json_option
from avf_shards.errors import UserError

from avf_curation import interrupt

_RAW = argparse.RawDescriptionHelpFormatter

RUN_HELP = """\
examples:
  avf-curate run --source interviews=/data/interviews --out RUN
  avf-curate run --source tv=/data/tv --source vlog=/data/vlog --out RUN --recipe mine.yaml --workers 16
  avf-curate run ... --set sync.min_confidence=4 --set sources.tv.silence.top_db=25

A run that was killed, anywhere, goes on with the same command and ends with the same bytes. Settings are frozen at the
first start: another setting wants another folder. Inputs are only read. The default recipe, with a comment on every
threshold, is curation/recipes/default.yaml.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = the audit found a broken law or damage, 2 = cannot do that, 130 = interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="avf-curate: %(message)s", level=logging.WARNING)
    from avf_curation.failure import InfrastructureError

    def work() -> int:
        with interrupt.noted():
            return int(options.run(options))

    stopped = "stopped; nothing half-done is left, and the same command goes on where it was"
    return guarded("avf-curate", work, stopped, (InfrastructureError,))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avf-curate",
        description=(__doc__ or "").split(": ", 1)[1].strip().capitalize(),
        epilog="first steps:\n  avf-curate demo --out demo-out\n  avf-curate run --source mine=DIR --out RUN\n"
        "  avf-curate audit RUN --html report.html\n  avf-shards pack RUN --out SHARDS",
        formatter_class=_RAW,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("plan", help="list and freeze the inputs of a run, by stat alone")
    _source_options(one)
    json_option(one)
    one.set_defaults(run=_plan)

    one = commands.add_parser(
        "run", help="curate: plan, measure, decide, cut clips", epilog=RUN_HELP, formatter_class=_RAW
    )
    _source_options(one)
    one.add_argument("--engine", choices=("ray", "inline"), default="ray", help="inline: one process, for debugging")
    one.add_argument("--workers", type=int, metavar="N", help="Ray workers (default: the cores of this machine)")
    one.add_argument("--address", metavar="ADDRESS", help="a Ray cluster to join (default: one is started here)")
    one.add_argument("--device", default="cpu", help="device of RetinaFace and SyncNet: cpu, cuda (default: cpu)")
    one.add_argument("--retry-failed", action="store_true", help="decide the failed videos of a finished run again")
    json_option(one)
    one.set_defaults(run=_run)

    one = commands.add_parser("status", help="how far a run is, going or stopped")
    _run_folder(one)
    one.add_argument("--watch", metavar="S", type=float, help="say it again every S seconds until it ends or stops")
    json_option(one)
    one.set_defaults(run=_status)

    one = commands.add_parser("audit", help="the funnel per source x stage x reason; a page with pictures and charts")
    _run_folder(one)
    one.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
    one.add_argument("--seed", type=int, default=0, help="of the contact sheet's sample (default: 0)")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    json_option(one)
    one.set_defaults(run=_audit)

    one = commands.add_parser("explain", help="one video's story, second by second")
    _run_folder(one)
    one.add_argument("video", metavar="VIDEO", help="its id (path below the source), or SOURCE/id")
    json_option(one)
    one.set_defaults(run=_explain)

    one = commands.add_parser("whatif", help="what another threshold would have decided, per source, without any video")
    _run_folder(one)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a threshold; repeat for more")
    json_option(one)
    one.set_defaults(run=_whatif)

    one = commands.add_parser("card", help="the data card of packed shards, for people and as Croissant metadata")
    one.add_argument("folder", metavar="SHARDS", type=Path)
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="DATA_CARD.md and croissant.json go there")
    one.add_argument("--name", default="talking-faces", help="of the corpus (default: talking-faces)")
    one.add_argument("--licence", metavar="SOURCE=TEXT", action="append", default=[], help="of a source; repeat")
    one.add_argument("--url", help="where the shards will lie")
    one.add_argument("--published", metavar="YYYY-MM-DD", help="the day")
    one.set_defaults(run=_card)

    one = commands.add_parser("weights", help="model files: list, get, check")
    verbs = one.add_subparsers(required=True, metavar="ls|pull|verify")
    verb = verbs.add_parser("ls", help="what is known and what is here")
    _weights_option(verb)
    json_option(verb)
    verb.set_defaults(run=_weights_ls)
    verb = verbs.add_parser("pull", help="get one from its owner's address, or from a file you have")
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("--from", dest="take_from", metavar="PATH", type=Path, help="a file you have")
    verb.add_argument("--address", metavar="URL", help="a mirror")
    _weights_option(verb)
    verb.set_defaults(run=_weights_pull)
    verb = verbs.add_parser("verify", help="check the digests of what is here; exit 2 when one is wrong")
    _weights_option(verb)
    json_option(verb)
    verb.set_defaults(run=_weights_verify)

    one = commands.add_parser("demo", help="make a small corpus, curate it, pack it, verify it, write the page")
    one.add_argument("--out", metavar="DIR", type=Path, required=True)
    one.add_argument("--engine", choices=("ray", "inline"), default="ray")
    one.add_argument("--workers", type=int, metavar="N")
    one.set_defaults(run=_demo)
    return parser


def _source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=DIR", help="a folder of video; repeat for more sources"
    )
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run's folder; made if missing")
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="settings that differ from the default recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; repeat for more")
    _weights_option(parser)


def _weights_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="DIR",
        type=Path,
        help="model files (default: $AVF_WEIGHTS or ~/.cache/avf-foundry/weights)",
    )


def _run_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", type=Path)


def _weights_folder(options: argparse.Namespace) -> Path:
    from avf_curation.weights import default_folder

    return options.weights or default_folder()


def _prepare(options: argparse.Namespace) -> Any:
    """Recipe, backends and sources of plan and run, all checked before any work."""
    from avf_curation.plan import parse_sources
    from avf_curation.recipe import load_recipe
    from avf_curation.tools import choose

    recipe = load_recipe(options.recipe, options.set)
    sources = parse_sources(options.source)
    return recipe, choose(recipe, _weights_folder(options)), sources


def _plan(options: argparse.Namespace) -> int:
    from avf_curation.run import plan_run
    from avf_curation.show import console, plan_rows, show_plan

    recipe, choice, sources = _prepare(options)
    planned = plan_run(recipe, choice, sources, options.out)
    if not answered(options, {"sources": plan_rows(planned), "aside": [vars(one) for one in planned.aside]}):
        show_plan(console(), planned)
    return 0


def _run(options: argparse.Namespace) -> int:
    from avf_curation.audit import audit
    from avf_curation.progress import ProgressBar
    from avf_curation.run import curate
    from avf_curation.show import console, show_audit

    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers {options.workers}: at least 1")
    recipe, choice, sources = _prepare(options)
    _check_device(options)
    backends = ", ".join(f"{stage}={name}" for stage, name in choice.names().items())
    print(f"avf-curate: backends {backends}", file=sys.stderr)
    with ProgressBar() as bar:
        run = curate(
            recipe,
            choice,
            sources,
            options.out,
            engine=options.engine,
            workers=options.workers or os.cpu_count() or 1,
            address=options.address,
            device=options.device,
            retry_failed=options.retry_failed,
            on_progress=bar,
        )
    result = audit(run)
    if not answered(options, result.as_json()):
        show_audit(console(), result)
    return 1 if result.law else 0


def _check_device(options: argparse.Namespace) -> None:
    """A device that this machine lacks is said before any work; a cluster's machines are their own."""
    from avf_curation.backends.threads import cuda_is_here

    kind = options.device.split(":", 1)[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device {options.device}: cpu or cuda")
    if kind == "cuda" and not options.address and not cuda_is_here():
        raise UserError(f"--device {options.device}: torch finds no CUDA device here; use --device cpu")


def _existing(options: argparse.Namespace) -> Any:
    from avf_shards.run_folder import RunFolder

    return RunFolder.existing(options.folder)


def _status(options: argparse.Namespace) -> int:
    from avf_curation.status import status, watched

    run = _existing(options)
    if options.watch is not None:
        if options.watch <= 0 or options.json:
            raise UserError("--watch wants seconds above 0, and no --json")
        for now in watched(run, options.watch):
            p = now.progress
            done = f"{p.videos_done}/{p.videos} videos, {p.kept} kept, {p.rejected} rejected, {p.failed} failed"
            print(f"{time.strftime('%H:%M:%S')} {now.state}: {done}", flush=True)
        return 0
    now = status(run)
    if answered(options, now.as_json()):
        return 0
    p = now.progress
    who = {"going": f" ({now.driver})", "stopped": "; start it again with the same command"}.get(now.state, "")
    print(f"{now.state}{who}")
    print(f"{p.videos_done}/{p.videos} videos, {p.units_done}/{p.units} units in generation {now.generation}")
    print(f"{p.kept} clips kept, {p.rejected} spans rejected, {p.failed} failed, {p.frames / 25:.1f} s of video")
    if now.last_unit_s_ago is not None:
        print(f"last unit {now.last_unit_s_ago:.0f} s ago")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from avf_curation.audit import audit
    from avf_curation.page import write_page
    from avf_curation.plan import parse_sources
    from avf_curation.show import console, show_audit

    run = _existing(options)
    result = audit(run)
    if options.html:
        roots = parse_sources(options.source) if options.source else None
        write_page(run, result, options.html, options.seed, roots)
        print(f"avf-curate: wrote {options.html}", file=sys.stderr)
    if not answered(options, result.as_json()):
        show_audit(console(), result)
    return 1 if result.law else 0


def _explain(options: argparse.Namespace) -> int:
    from avf_shards import ledger

    from avf_curation.show import console, find_video, show_story

    table = _existing(options).ledger()
    story = find_video(table, options.video)
    rows = ledger.to_table(story).to_pylist()
    if not answered(options, rows):
        show_story(console(), story)
    return 0


def _whatif(options: argparse.Namespace) -> int:
    from avf_curation.show import console, show_whatif
    from avf_curation.whatif import asked, whatif

    run = _existing(options)
    found = whatif(run, asked(options.set, run.identity()))
    if not answered(options, found.as_json()):
        show_whatif(console(), found)
    return 0


def _card(options: argparse.Namespace) -> int:
    from datetime import date

    from avf_curation.card import CARD, CROISSANT, read_card, write_card

    licences = {}
    for text in options.licence:
        source, equals, licence = text.partition("=")
        if not (source and equals and licence.strip()):
            raise UserError(f"--licence {text}: expected SOURCE=TEXT, as in --licence voxceleb2=CC-BY-4.0")
        licences[source] = licence.strip()
    try:
        published = date.fromisoformat(options.published) if options.published else None
    except ValueError:
        raise UserError(f"--published {options.published}: expected a day as 2026-01-31") from None
    write_card(read_card(options.folder, options.name, licences), options.out, options.url, published)
    for name in (CARD, CROISSANT):
        print(options.out / name)
    return 0


def _weights_ls(options: argparse.Namespace) -> int:
    from avf_curation.weights import KNOWN

    folder = _weights_folder(options)
    rows = [
        {
            "name": entry.name,
            "here": (folder / entry.file_name).is_file(),
            "file": entry.file_name,
            "sha256": entry.sha256_prefix or "none published: first one seen is recorded",
            "licence": entry.licence,
            "address": entry.address,
        }
        for entry in KNOWN.values()
    ]
    if not answered(options, {"folder": str(folder), "weights": rows}):
        print(f"in {folder}:")
        for row in rows:
            print(f"  {row['name']:<22}{'here' if row['here'] else 'not here':<10}{row['licence']}")
            print(f"    {row['file']}, sha256 {str(row['sha256'])[:24]}, {row['address']}")
    return 0


def _weights_pull(options: argparse.Namespace) -> int:
    from avf_curation.weights import pull

    terminal = sys.stderr.isatty()

    def progress(done: int, total: int | None) -> None:
        if terminal:
            print(f"\r{done / 1e6:.1f} of {(total or 0) / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)

    path = pull(options.name, _weights_folder(options), options.take_from, options.address, progress)
    print(path)
    return 0


def _weights_verify(options: argparse.Namespace) -> int:
    from avf_curation.weights import KNOWN, find_weight

    folder = _weights_folder(options)
    here = {name: find_weight(name, folder) is not None for name in KNOWN}
    if not answered(options, here):
        for name, found in here.items():
            print(f"{name:<22}{'as published or first seen' if found else 'not here'}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from avf_curation.demo.tour import tour

    return tour(options.out, options.engine, options.workers or os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
