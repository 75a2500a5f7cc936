"""avf-shards show: print the record of one clip, or write its files."""

import argparse
import sys
from typing import Any

from avf_shards.cli.common import add_command, can_encode, to_json
from avf_shards.cli.options import add_shards_argument
from avf_shards.cli.paths import output_folder


def add(commands: Any) -> None:
    """Add `show`."""
    parser = add_command(
        commands, "show", _run, help="Print the record of one clip or picture, and write its files on request."
    )
    add_shards_argument(parser)
    parser.add_argument(
        "key", metavar="KEY", help="key of the clip or picture, as `avf-shards ls SHARDS --keys` prints it"
    )
    parser.add_argument(
        "--extract",
        metavar="DIR",
        type=output_folder,
        help="write KEY.mp4, KEY.flac and KEY.json, or KEY.jpg and KEY.json, to DIR",
    )


def _run(options: argparse.Namespace) -> int:
    from avf_shards.format.picture_record import read_stored_record
    from avf_shards.packing.lineage import find_clips
    from avf_shards.system.named_writes import write_bytes

    ((_, files),) = find_clips(options.shards, [options.key]).values()
    if options.extract:
        options.extract.mkdir(parents=True, exist_ok=True)
        for extension, data in files.items():
            write_bytes(options.extract / f"{options.key}.{extension}", data)
    record = read_stored_record(files["json"], f"{options.shards}: {options.key}.json").as_dict()
    print(to_json(record, ascii_only=not can_encode(sys.stdout)))
    return 0
