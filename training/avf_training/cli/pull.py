"""avf-train pull: a model from the Hugging Face Hub."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.hub_options import EXTRA_HELP, add_repository_argument
from avf_shards.cli.paths import output_folder


def add(commands: Any) -> None:
    """Add `pull`."""
    parser = add_command(
        commands,
        "pull",
        _run,
        help="Fetch a saved model from a repository of the Hugging Face Hub, for --model.",
        details="The answer names the commit; name it after @ to get the same bytes again. Only tensors and a JSON "
        f"config are fetched, never code.\n\n{EXTRA_HELP}",
    )
    parser.set_defaults(stopped="stopped; the same command goes on where it was")
    add_repository_argument(parser, "model", pinnable=True)
    parser.add_argument("--out", metavar="DIR", type=output_folder, required=True, help="new folder for the model")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.inference.hub import pull_model

    pulled = pull_model(options.repository, options.out)
    print_answer(options, asdict(pulled), f"{options.out}: {pulled}")
    return 0
