"""avf-curate export: a run for tools in which people browse video."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import output_folder

from avf_curation.cli.options import add_inputs_option, add_run_argument, input_folders, open_run, require_videos


def add(commands: Any) -> None:
    """Add `export`."""
    parser = add_command(
        commands,
        "export",
        _run,
        help="Write a run as a data set of FiftyOne: every decision, on its input video, with its scores.",
        details="Videos are not copied: the data set names the files of the sources. FiftyOne (pip install fiftyone) "
        "need not be installed where this runs. The command prints the lines that open the data set there.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--fiftyone",
        metavar="DIR",
        dest="out",
        type=output_folder,
        required=True,
        help="new folder of the data set, in the layout of FiftyOneTemporalDetectionDataset",
    )
    add_inputs_option(parser)


def _run(options: argparse.Namespace) -> int:
    import shlex
    import sys

    from avf_shards.text import count_noun, printable

    from avf_curation.reports.fiftyone_dataset import DATASET_TYPE, write_fiftyone_dataset

    run = open_run(options)
    require_videos(run, "`avf-shards pack` and any reader of WebDataset give the pictures with their records")
    written = write_fiftyone_dataset(run, options.out, input_folders(options, run))
    for line in written.left_out:
        print(printable(f"left out: {line}"), file=sys.stderr)
    print(f"{options.out}: {count_noun(written.decisions, 'decision')} on {count_noun(written.videos, 'video')}")
    print("open it where FiftyOne is installed:")
    name = options.out.resolve().name
    folder = shlex.quote(str(options.out.resolve()))
    print(
        f"  fiftyone datasets create --name {shlex.quote(name)} --dataset-dir {folder} --type {DATASET_TYPE} "
        "--kwargs data_path=data.json label_field=decisions dynamic=True"
    )
    print(f"  fiftyone app launch {shlex.quote(name)}")
    return 0
