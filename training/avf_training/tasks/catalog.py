"""Catalog of the labelled data sets: datasets.yaml, one row each, and the rows that installed packages add.

A row says which labels are asked of which clips, in which folds, by which metrics. Counts are those that the papers and
owners publish; the counts of a corpus are reported beside them. Reading the owners' layout is the work of avf_curation,
and `source` is the name used there.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.schema.forgery import FAKE, REAL
from avf_shards.settings.config import describe_unknown_key, refuse
from avf_shards.settings.yaml_settings import YamlSettings, read_settings
from avf_shards.system.installed_packages import find_addition, list_additions, load_addition, unusable

TaskKind = Literal["emotion", "dimensions", "micro_expression", "detection"]
Split = Literal[
    "predefined", "session", "subject_blocks", "group", "random", "leave_one_subject_out", "held_out_subjects", "column"
]
# Those of which more is better: an epoch is chosen by one, and runs are compared by it.
Metric = Literal["UAR", "WAR", "weighted_F1", "macro_F1", "UF1", "PCC", "CCC", "AUC", "AP", "TPR_at_1", "TPR_at_5"]

ADDED_DATASETS = "avf_foundry.datasets"
"""Group of the entry points by which installed packages add data sets; each is a `Dataset`."""
_FILE = Path(__file__).parent / "datasets.yaml"
LABELS_CSV_SCHEME = "own"  # name of the folds in the column `fold` of a user's labels.csv
DEFAULT_METRICS: Mapping[TaskKind, tuple[Metric, ...]] = {
    "emotion": ("UAR", "WAR"),
    "dimensions": ("PCC", "CCC"),
    "micro_expression": ("UF1", "UAR"),
    "detection": ("AUC", "AP", "UAR"),
}
DETECTION_LABELS = (REAL, FAKE)
"""The classes of each task of detection, in this order."""
_LATER = ("only", "tested", "validated")  # fields that came later: left out of a run's identity where they are empty


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A labelled data set: its labels, folds and metrics. Either `labels` or `dimensions` is set."""

    name: str  # by which commands and studies name the data set
    title: str = ""  # as printed in tables; empty: the name
    source: str = ""  # name of the source in the shards; empty: the name
    # Classes of emotion, targets of a regression (where `dimensions` is set), classes of micro-expression, or whether a
    # file is real or fake.
    task: TaskKind = "emotion"
    labels: tuple[str, ...] = ()  # classes, in the order of their indices
    folds: int = 5  # number of folds; 0 for leave-one-subject-out, where the subjects decide
    split: Split = "subject_blocks"  # how the folds are made
    metrics: tuple[Metric, ...] = ()  # studies compare rows by the first; empty: those of the kind of task
    clips: int = 0  # published number of clips; 0 where none is published
    modalities: tuple[Literal["audio", "video"], ...] = ("audio", "video")  # of the recordings
    dimensions: tuple[str, ...] = ()  # targets of a regression, in order
    range: tuple[float, float] | None = None  # of a regression's targets
    per_label: Mapping[str, int] = field(default_factory=dict)  # label -> published number of clips
    label_field: str = "label"  # name of the label in a record: the column of a labels.csv
    merged: Mapping[str, str] = field(default_factory=dict)  # native label -> label that it counts as
    excluded: tuple[str, ...] = ()  # native labels that the task does not ask for
    scheme: str = LABELS_CSV_SCHEME  # split predefined: name of the folds in a record
    blocks: int = 0  # split subject_blocks: number of blocks where it is not `folds`; one fold tests the last block
    test_subjects: tuple[str, ...] = ()  # split held_out_subjects: the subjects whose clips are tested
    # Label of a record -> the values that the task asks for; clips with others are in neither training nor test.
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # split column: likewise, of the clips tested
    # Likewise, of clips that select the epoch, where the owners name them; empty: a share of the training clips.
    validated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subjects_overlap: bool = False  # the owners' folds share subjects; a leak of a person is not an error
    averaged_over: Literal["clip", "session"] = "clip"  # session: predictions of a session are averaged, then scored
    # Another source with the same recordings under the same names, for a corpus that relations.yaml does not know.
    same_recordings_as: str = ""
    alignment: Mapping[str, str] = field(default_factory=dict)  # label -> label of the labelled hybrid
    in_hybrid: bool = True  # False: the alignment serves transfers only
    note: str = ""  # printed below the table

    def __post_init__(self) -> None:
        task: TaskKind = "dimensions" if self.dimensions and self.task == "emotion" else self.task
        inferred: dict[str, Any] = {"title": self.title or self.name, "source": self.source or self.name, "task": task}
        if task == "detection" and not self.labels:
            inferred |= {"labels": DETECTION_LABELS}
        for name, value in (inferred | {"metrics": self.metrics or DEFAULT_METRICS[task]}).items():
            object.__setattr__(self, name, value)  # the only way to fill in a field of a frozen dataclass
        regression, blocks = bool(self.dimensions), self.blocks
        loso, held_out = self.split == "leave_one_subject_out", self.split == "held_out_subjects"
        rules = (
            (bool(self.labels) == regression, "must have either labels or dimensions"),
            (
                (self.task == "dimensions") != regression,
                f"task {self.task!r} and dimensions {list(self.dimensions)} do not fit",
            ),
            (len(set(self.labels)) != len(self.labels), "labels lists a label twice"),
            (self.folds < 1 and not loso, f"folds {self.folds} must be at least 1"),
            (self.split == "predefined" and not self.scheme, "split predefined needs scheme, the name of the folds"),
            (
                task == "detection" and self.labels != DETECTION_LABELS,
                f"labels of a detection are {', '.join(DETECTION_LABELS)}, in this order; not {', '.join(self.labels)}",
            ),
            (self.split == "column" and not self.tested, "split column needs tested, the values of the clips tested"),
            (bool(self.tested) and self.split != "column", "tested needs split column"),
            (self.split == "column" and self.folds != 1, f"split column has one fold, not {self.folds}"),
            (held_out and not self.test_subjects, "split held_out_subjects needs test_subjects"),
            (
                blocks > 0 and self.folds not in (1, blocks),
                f"blocks {blocks} make {blocks} folds or 1, not {self.folds}",
            ),
        )
        refuse(*((broken, f"{self.name}: {message}") for broken, message in rules))

    def frozen(self) -> dict[str, Any]:
        """Return the values that identify the data set in a run.json."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value}


@dataclass(frozen=True, kw_only=True)
class _Catalog:
    datasets: tuple[Dataset, ...]  # in the order of datasets.yaml


DATASETS = read_settings(_FILE, _FILE.name).bind(_Catalog).datasets


def find_dataset(name: str) -> Dataset:
    """Return a row of the catalog by name, or the row in a YAML file that the user wrote.

    Raises UserError that names the file of that name, if there is one, or the nearest known row.
    """
    if name.endswith((".yaml", ".yml")):
        named = YamlSettings(values={"name": Path(name).stem})
        return named.merge(read_settings(Path(name))).bind(Dataset)
    for data in DATASETS:
        if data.name == name:
            return data
    if (added := _find_added(name)) is not None:
        return added
    for path in (Path(f"{name}.yaml"), Path(f"{name}.yml")):
        if path.is_file():
            raise UserError(f"{name}: unknown data set; did you mean the file {path}?")
    known = [*(data.name for data in DATASETS), *list_added_names()]
    raise UserError(describe_unknown_key(name, name, known, "data set"))


def list_added_names() -> list[str]:
    """Return the names of data sets that installed packages add, sorted, without importing them; ours stay ours."""
    return sorted(set(list_additions(ADDED_DATASETS)) - {data.name for data in DATASETS})


@functools.cache
def _find_added(name: str) -> Dataset | None:
    """Return a data set that an installed package adds, or None where none adds it. Raises UserError as `find_dataset`.

    A run's identity has all its values, so the package's version is no part of it.
    """
    where, kind = f"data set {name}", "data set"
    addition = find_addition(ADDED_DATASETS, name, where, kind)
    if addition is None:
        return None
    value = load_addition(addition, where, kind, _check_name)
    if not isinstance(value, Dataset):
        raise UserError(unusable(addition, where, kind, f"its entry point is {type(value).__name__}, not a Dataset"))
    if value.name != name:
        raise UserError(unusable(addition, where, kind, f"it calls itself {value.name!r}"))
    return value


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError(f"{name!r} is no name: use 1 to 40 lower-case letters, digits and '_', a letter first")
