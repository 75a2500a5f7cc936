"""avf-train export: a fine-tuned model as one file."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import ending_of
from avf_shards.system.own_files import NO_FILE

from avf_training.cli.options import add_model_option


def add(commands: Any) -> None:
    """Add `export`."""
    parser = add_command(
        commands,
        "export",
        _run,
        help="Export a fine-tuned model as one file, torch.export or ONNX, and compare it with the model.",
    )
    add_model_option(parser, "fine-tuned model or its run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=ending_of(dict.fromkeys((".pt2", ".onnx"), NO_FILE)),
        required=True,
        help="file of the exported model: .pt2 (torch.export) or .onnx",
    )


def _run(options: argparse.Namespace) -> int:
    from avf_training.inference.export_format import require_new_file
    from avf_training.trainer.saved_model import require_fine_tuned

    require_new_file(options.out)
    require_fine_tuned(options.model)
    # After what is refused quickly: this loads torch.
    from avf_training.inference.export import export_model

    exported = export_model(options.model, options.out)
    print(
        f"{exported.path}: inputs {' and '.join(exported.inputs)}; "
        f"predictions differ by at most {exported.worst:.1g} from the model's"
    )
    print(f"  outputs  {', '.join(exported.names) or 'without names'}")
    return 0
