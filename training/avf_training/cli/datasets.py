"""avf-train datasets: the labelled data sets that can be trained on."""

import argparse
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from avf_shards.cli.common import add_command, add_json_option, set_completer, write_answer
from avf_shards.errors import UserError

from avf_training.cli.options import dataset_names, labelled_shards

if TYPE_CHECKING:
    from avf_training.tasks.catalog import Dataset

log = logging.getLogger(__name__)
EXAMPLES = """\
examples:
  avf-train datasets --new SHARDS > mine.yaml
  avf-train finetune --dataset mine.yaml --shards SHARDS --recipe nano --out RUN
"""


def add(commands: Any) -> None:
    """Add `datasets`."""
    parser = add_command(
        commands,
        "datasets",
        _run,
        help="List the labelled data sets: labels, folds, metrics and numbers of clips.",
        details="A data set of your own is a YAML file with the same fields: --new writes it.",
        epilog=EXAMPLES,
    )
    names = parser.add_argument(
        "names", metavar="NAME|FILE", nargs="*", help="names of data sets, or files (default: all)"
    )
    set_completer(names, dataset_names)
    parser.add_argument(
        "--shards",
        metavar="SHARDS",
        action="append",
        default=[],
        help="count the clips in these shards, beside the published numbers; repeat for each corpus",
    )
    parser.add_argument(
        "--new",
        metavar="SHARDS",
        action="append",
        help="print the file of a data set for shards that were curated with a labels.csv; repeat for more",
    )
    parser.add_argument("--source", metavar="NAME", help="with --new: the source (default: the only one with labels)")
    parser.add_argument("--column", metavar="NAME", help="with --new: the column of labels.csv (default: label)")
    parser.add_argument(
        "--alignment", action="store_true", help="print how labels of different data sets are merged in the hybrid"
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.console.task_tables import print_alignment, print_datasets
    from avf_training.tasks.catalog import DATASETS, find_dataset, list_added_names
    from avf_training.tasks.label_alignment import ALIGNED

    if options.alignment:
        if not write_answer(options, {name: dict(labels) for name, labels in ALIGNED.items()}):
            print_alignment()
        return 0
    if options.new:
        return _print_new_dataset(options)
    datasets = [find_dataset(name) for name in options.names] or [*DATASETS, *_added_datasets(list_added_names())]
    if options.shards:
        return _count_clips(options, datasets)
    if not write_answer(options, [asdict(dataset) for dataset in datasets]):
        print_datasets(datasets)
    return 0


def _added_datasets(names: list[str]) -> "list[Dataset]":
    """Return the data sets of installed packages; one that cannot be used is named in a warning."""
    from avf_training.tasks.catalog import find_dataset

    datasets = []
    for name in names:
        try:
            datasets.append(find_dataset(name))
        except UserError as error:
            log.warning("%s", error)
    return datasets


def _print_new_dataset(options: argparse.Namespace) -> int:
    """Print the file of a data set for the labelled clips of one source."""
    from avf_training.data.storage import StorageConfig
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.tasks.new_dataset import infer_dataset

    dataset = infer_dataset(LabelledShards(options.new, StorageConfig()), options.source, options.column)
    if not write_answer(options, asdict(dataset.data)):
        print(dataset.to_yaml(), end="")
    return 0


def _count_clips(options: argparse.Namespace, datasets: list[Any]) -> int:
    """Print how many clips of each data set the shards hold, beside the published number."""
    from avf_training.console.task_tables import print_counts
    from avf_training.tasks.labelled_clips import read_labelled_clips

    shards = labelled_shards(options)
    sources = {source.name for source in shards.corpus.sources}
    labelled = [read_labelled_clips(shards, each) for each in datasets if options.names or each.source in sources]
    if not labelled:
        raise UserError(
            f"{', '.join(options.shards)}: hold no source of a labelled data set, only {', '.join(sorted(sources))}"
        )
    values = [
        {"name": clips.data.name, "clips": len(clips.clips), "per_label": clips.per_label}
        | {"excluded": dict(clips.excluded), "published": clips.data.clips, "differences": clips.differences()}
        | {"without_sound": len(clips.silent)}
        for clips in labelled
    ]
    if not write_answer(options, values):
        print_counts(values)
    return 0
