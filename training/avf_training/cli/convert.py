"""avf-train convert: the authors' checkpoint becomes a model of ours, and the reverse."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command


def add(commands: Any) -> None:
    """Add `convert`."""
    parser = add_command(
        commands,
        "convert",
        _run,
        help="Convert a checkpoint of the authors to a model of ours, or a model of ours to their format.",
        epilog="example:\n  avf-train convert checkpoint.pth --to MODEL",
    )
    parser.add_argument("source", metavar="FILE.pth|MODEL", type=Path, help="their file, or a folder of ours")
    parser.add_argument(
        "--to", metavar="MODEL|FILE.pth", type=Path, required=True, help="a new folder of ours, or a new file of theirs"
    )
    config = parser.add_mutually_exclusive_group()
    config.add_argument("--model", metavar="NAME", help="published model that it is (default: found by its sizes)")
    config.add_argument("--config", metavar="FILE", type=Path, help="config.json of a model of other sizes")


def _run(options: argparse.Namespace) -> int:
    from avf_training.conversion.convert import (
        convert_state_dict,
        convert_to_authors,
        read_authors_checkpoint,
        read_model_config,
    )
    from avf_training.models.presets import preset

    if options.source.is_dir():
        count = convert_to_authors(options.source, options.to)
        print(f"{options.to}: {count} tensors under the authors' names")
        return 0
    config = preset(options.model) if options.model else read_model_config(options.config) if options.config else None
    model = convert_state_dict(read_authors_checkpoint(options.source), config)
    model.save(options.to)
    outputs = f", {model.outputs} outputs" if model.outputs else ""
    print(f"{options.to}: {model.kind} {model.config.name}{outputs}, {len(model.tensors)} tensors")
    return 0
