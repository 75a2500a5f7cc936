"""avf-train probe: what small models read from the features of a frozen model."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, set_completer, write_answer
from avf_shards.cli.standard_output import forgive_closed_output

from avf_training.cli.options import (
    add_device_option,
    add_labelled_shards_option,
    add_model_option,
    dataset_names,
    labelled_shards,
)
from avf_training.distributed.device_choice import resolve_device

_DETAILS = """\
linear: logistic or ridge regression of the means of both modalities. knn: a vote of the nearest training clips by the
cosine. attentive: learned queries that attend to the tokens. None changes the model.

The spread of the features needs no labels: effective rank, uniformity, and of video and audio together alignment and
R@1. Features that fill few dimensions or are nearly one point have collapsed, which is said and ends with 1."""


def add(commands: Any) -> None:
    """Add `probe`."""
    parser = add_command(
        commands,
        "probe",
        _run,
        help="Score the features of a frozen model by small models on one fold, and look at their spread.",
        details=_DETAILS,
        epilog="example:\n  avf-train probe --model RUN --dataset mine.yaml --shards SHARDS",
    )
    add_model_option(parser, "pre-trained or fine-tuned model, or its run")
    dataset = parser.add_argument(
        "--dataset", metavar="NAME|FILE", required=True, help="name of a data set (see avf-train datasets), or a file"
    )
    set_completer(dataset, dataset_names)
    parser.add_argument("--fold", metavar="N", type=int, default=1, help="number of the fold (default: %(default)s)")
    add_labelled_shards_option(parser)
    parser.add_argument(
        "--probes",
        metavar="PROBE,...",
        default="linear,knn,attentive",
        help="probes to take (default: %(default)s)",
    )
    parser.add_argument(
        "--neighbours",
        metavar="N",
        type=int,
        default=20,
        help="training clips that vote in the probe knn (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="seed of the probe attentive (default: %(default)s)"
    )
    add_device_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.console.task_tables import print_probes
    from avf_training.evaluation.probes import ProbeConfig, check_probes
    from avf_training.finetuning.frozen import probe_saved_model, saved_modalities
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.task import fold_task

    probes = check_probes(options.probes.split(","))
    config = ProbeConfig(neighbours=options.neighbours, seed=options.seed)
    modalities = saved_modalities(options.model)
    task = fold_task(find_dataset(options.dataset), labelled_shards(options), options.fold, modalities, 0.0)
    scores = probe_saved_model(options.model, task, probes, config, resolve_device(options.device))
    values = scores.as_dict(task)
    with forgive_closed_output():
        if not write_answer(options, values):
            print_probes(values)
    return 1 if values["features"]["alarms"] else 0
