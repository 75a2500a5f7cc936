"""avf-curate: raw video becomes spans with a verdict for every second of input."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from avf_shards.cli.common import json_option, run_command, write_answer

from avf_curation.cli import audit, clip, corpus, estimate, runs, weights
from avf_curation.cli.options import check_device, cluster_config, engine_options, prepare, run_curation, source_options
from avf_curation.execution import signals

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
    from avf_curation.pipeline.failures import InfrastructureError

    def work() -> int:
        with signals.remember_interrupt():
            return int(options.run(options))

    stopped = "stopped; nothing half-done is left, and the same command goes on where it was"
    return run_command("avf-curate", work, stopped, (InfrastructureError,))


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
    source_options(one)
    json_option(one)
    one.set_defaults(run=_plan)

    one = commands.add_parser(
        "run", help="curate: plan, measure, decide, cut clips", epilog=RUN_HELP, formatter_class=_RAW
    )
    source_options(one)
    engine_options(one)
    one.add_argument("--retry-failed", action="store_true", help="decide the failed videos of a finished run again")
    json_option(one)
    one.set_defaults(run=_run)

    clip.add(commands)
    estimate.add(commands)
    runs.add(commands)
    audit.add(commands)
    corpus.add(commands)
    weights.add(commands)

    one = commands.add_parser("demo", help="make a small corpus, curate it, pack it, verify it, write the page")
    one.add_argument("--out", metavar="DIR", type=Path, required=True)
    one.add_argument("--engine", choices=("ray", "inline"), default="ray")
    one.add_argument("--workers", type=int, metavar="N")
    one.add_argument("--labelled", action="store_true", help="two labelled corpora instead: people who feel")
    one.set_defaults(run=_demo)
    return parser


def _plan(options: argparse.Namespace) -> int:
    from avf_curation.console.run_tables import plan_rows, print_plan
    from avf_curation.console.tables import make_console
    from avf_curation.runs.curate import plan_run

    recipe, choice, sources = prepare(options)
    planned = plan_run(recipe, choice, sources, options.out)
    if not write_answer(
        options, {"sources": plan_rows(planned), "skipped_inputs": [vars(one) for one in planned.skipped_inputs]}
    ):
        print_plan(make_console(), planned)
    return 0


def _run(options: argparse.Namespace) -> int:
    from avf_curation.audit.funnel import summarize_run as audited
    from avf_curation.console.tables import make_console, print_audit

    cluster_config(options)  # says now what it cannot be
    recipe, choice, sources = prepare(options)
    check_device(options)
    backends = ", ".join(f"{stage}={name}" for stage, name in choice.names().items())
    print(f"avf-curate: backends {backends}", file=sys.stderr)
    run = run_curation(options, recipe, choice, sources)
    result = audited(run)
    if not write_answer(options, result.as_json()):
        print_audit(make_console(), result)
    return 1 if result.law else 0


def _demo(options: argparse.Namespace) -> int:
    from avf_curation.demo.demo import run_demo
    from avf_curation.demo.labelled_demo import run_labelled_demo

    return (run_labelled_demo if options.labelled else run_demo)(
        options.out, options.engine, options.workers or os.cpu_count() or 1
    )


if __name__ == "__main__":
    sys.exit(main())
