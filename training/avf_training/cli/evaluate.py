"""avf-train evaluate: test a finished run again."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.standard_output import forgive_closed_output

from avf_training.cli.options import (
    add_device_option,
    add_labelled_shards_option,
    add_model_option,
    labelled_shards,
)
from avf_training.data.shard_checks import require_shards
from avf_training.distributed.device_choice import resolve_device


def add(commands: Any) -> None:
    """Add `evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        _run,
        help="Test the model of a finished run again, and compare with the predictions of its first test.",
        details="Exits with 1 where they differ.",
    )
    add_model_option(parser, "folder of a finished run of avf-train finetune", "RUN")
    add_labelled_shards_option(parser)
    parser.add_argument(
        "--protocol",
        choices=("validation", "test_best", "last"),
        default="validation",
        help="protocol that chose the epoch of the model (default: %(default)s)",
    )
    parser.add_argument(
        "--segments", metavar="N", type=int, help="windows of each clip (default: as many as in the recipe)"
    )
    add_device_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.config.finetune import identity_of_run

    identity_of_run(options.model)
    require_shards(options.shards)
    # After what is refused quickly: this loads torch.
    from avf_training.console.task_tables import print_reevaluation
    from avf_training.finetuning.reevaluate import reevaluate_run

    device = resolve_device(options.device)
    result = reevaluate_run(options.model, labelled_shards(options), options.protocol, options.segments, device)
    with forgive_closed_output():
        if not write_answer(options, result):
            print_reevaluation(result)
    return 0 if result["same"] in (True, None) else 1
