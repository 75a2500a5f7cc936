"""avf-train report-detection: the page of a detector of fakes."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import output_folder

from avf_training.cli.options import add_labelled_shards_option, add_model_option, labelled_shards
from avf_training.data.shard_checks import require_shards

_DETAILS = """\
OUT/detection.html is one file that needs no network: AUC, AP, EER and true positives at few false alarms with intervals
over originals, the ROC curve, a score of each kind and method of forgery against all reals, calibration, timelines of
files over their true segments, and what the paper on AVF-MAE++ prints. OUT/detection.json has the same numbers."""


def add(commands: Any) -> None:
    """Add `report-detection`."""
    parser = add_command(
        commands,
        "report-detection",
        _run,
        help="Write the page of a finished run that detects fakes.",
        details=_DETAILS,
        epilog="example:\n  avf-train report-detection --model RUN --shards SHARDS --out REPORT",
    )
    add_model_option(parser, "folder of a finished run of avf-train finetune", "RUN")
    add_labelled_shards_option(parser)
    parser.add_argument(
        "--protocol",
        choices=("validation", "test_best", "last"),
        default="validation",
        help="protocol that chose the epoch of the model (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="OUT", type=output_folder, required=True, help="folder of the report")


def _run(options: argparse.Namespace) -> int:
    from avf_training.config.finetune import identity_of_run

    identity_of_run(options.model)
    require_shards(options.shards)
    # After what is refused quickly: this loads torch.
    from avf_training.study.detection_numbers import read_detector
    from avf_training.study.detection_page import report_lines, write_detection_page

    result = read_detector(options.model, labelled_shards(options), options.protocol)
    page = write_detection_page(result, options.out)
    print("\n".join([*report_lines(result.report), str(page)]))
    return 0
