"""avf-curate explain: every decision about one video, in the order of time."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.paths import own_file, writes_file
from avf_shards.system.own_files import FIGURE

from avf_curation.cli.options import add_run_argument, open_run


def add(commands: Any) -> None:
    """Add `explain`."""
    parser = add_command(
        commands,
        "explain",
        _run,
        help="Print every decision about one video, second by second, or picture, with scores and thresholds.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "video", metavar="VIDEO", help="path of the video below its source or id of the picture, or SOURCE/PATH"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        type=own_png,
        help="draw the verdicts over time as a PNG, with how the face speaks, the mouth and the sound",
    )
    add_json_option(parser)


@writes_file
def own_png(text: str) -> Path:
    """Return the path of a PNG file to draw; argparse calls this function."""
    path = own_file(lambda: FIGURE)(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text} must end in .png: the picture is a PNG")
    return path


def _run(options: argparse.Namespace) -> int:
    from avf_shards.errors import UserError
    from avf_shards.schema.ledger import decisions_to_table

    from avf_curation.audit.explain import find_video
    from avf_curation.console.decision_lines import print_decisions
    from avf_curation.console.terminal import make_console

    run = open_run(options)
    if options.picture is not None and run.identity().content == "pictures":
        raise UserError(f"{run.root}: is a run of pictures, which have no curves over time; leave --picture out")
    decisions = find_video(run.ledger(), options.video)
    if options.picture is not None:
        from avf_curation.reports.curves_figure import draw_curves

        draw_curves(decisions, options.picture)
    if not write_answer(options, decisions_to_table(decisions).to_pylist()):
        print_decisions(make_console(), decisions, run.identity().content)
    return 0
