"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import Any


def run_folder(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a run as the first word."""
    parser.add_argument("folder", metavar="RUN", type=Path)


def existing(options: argparse.Namespace) -> Any:
    """The run that the options name. Raises UserError."""
    from avf_shards.run_folder import RunFolder

    return RunFolder.existing(options.folder)


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights DIR`."""
    parser.add_argument(
        "--weights",
        metavar="DIR",
        type=Path,
        help="model files (default: $AVF_WEIGHTS or ~/.cache/avf-foundry/weights)",
    )


def weights_folder(options: argparse.Namespace) -> Path:
    """The folder of model files that the options name."""
    from avf_curation.weights import default_folder

    return options.weights or default_folder()
