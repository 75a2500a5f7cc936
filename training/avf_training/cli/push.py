"""avf-train push: a saved model to the Hugging Face Hub."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.hub_options import EXTRA_HELP, add_push_options, add_repository_argument

from avf_training.cli.options import add_model_option


def add(commands: Any) -> None:
    """Add `push`."""
    parser = add_command(
        commands,
        "push",
        _run,
        help="Put a saved model and its card into a repository of the Hugging Face Hub.",
        details=f"The card has the scores of a finished run.\n\n{EXTRA_HELP}",
    )
    parser.set_defaults(stopped="stopped; nothing of the repository changed")
    add_repository_argument(parser, "model", pinnable=False)
    add_model_option(parser, "finished run, or saved model")
    add_push_options(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.hub.repository import import_client

    from avf_training.trainer.saved_model import require_model

    import_client()
    require_model(options.model)
    # After what is refused quickly: this loads torch.
    from avf_training.inference.hub import push_to_hub

    pushed = push_to_hub(
        options.model,
        str(options.repository),
        licence=options.licence,
        private=not options.public,
        forget=options.forget,
    )
    print_answer(options, asdict(pushed), f"{pushed.repository}: {pushed.sent} files and the card")
    return 0
