"""The row of the catalog for labelled clips of a user's own, inferred from the records of their shards.

The records hold what the labels.csv said when the videos were curated: labels, subjects, sessions and folds.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.settings.config import describe_unknown_key
from avf_shards.text import count_noun

from avf_training.tasks.catalog import DEFAULT_METRICS, DETECTION_LABELS, LABELS_CSV_SCHEME, Dataset
from avf_training.tasks.folds import make_folds, natural_order
from avf_training.tasks.labelled_clips import read_labelled_clips, usable_keys
from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards
from avf_training.tasks.task import split_validation

_LABEL_COLUMNS = ("label", "emotion")  # these hold classes, also where the classes are numbers
_FOLDS = 5  # at most; fewer where there are fewer people
_VALIDATION_SHARE = 0.1  # the default of the recipes: the classes must be learnable with it


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """A row for labelled clips of a user."""

    data: Dataset  # with which a fine-tuning can start
    notes: tuple[str, ...]  # sentences that say what was inferred from what

    def to_yaml(self) -> str:
        """Return the text of a file that `--dataset` takes."""
        always = ("name", "source", "folds", "split", "metrics")
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self.data):
            value = getattr(self.data, field.name)
            if field.name in always or (value != field.default and value and value != self.data.name):
                values[field.name] = list(value) if isinstance(value, tuple) else value
        body = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
        return "".join(f"# {note}\n" for note in self.notes) + body


def infer_dataset(shards: LabelledShards, source: str | None = None, column: str | None = None) -> NewDataset:
    """Return the row for the labelled clips of one source.

    Args:
        source: name of the source; None: the only one with labels.
        column: column of the labels; None: `label`, `emotion`, or the only one that can be.

    Raises:
        UserError: no clip has labels, a choice is needed, or no fold leaves two classes to train on.
    """
    source, clips = _labelled_source(shards, source)
    label, dimensions = _choose_columns(source, [labels for _, labels in clips], column)
    data = Dataset(name=source, labels=("",)) if label else Dataset(name=source, dimensions=dimensions)
    if all(clip.silent for clip, _ in clips):
        data = replace(data, modalities=("video",))
    if label:
        counts = Counter(labels.values[label] for _, labels in clips if labels.values.get(label))
        data = replace(data, label_field=label, labels=tuple(sorted(counts, key=natural_order)))
        if len(counts) < 2:
            raise UserError(f"source {source}: column {label!r} holds one label only, {next(iter(counts), 'none')!r}")
        if {labels.values.get(label) for _, labels in clips} <= set(DETECTION_LABELS) and all(
            labels.forgery for _, labels in clips
        ):
            data = replace(data, task="detection", labels=DETECTION_LABELS, metrics=DEFAULT_METRICS["detection"])
        described = f"column {label!r}: {', '.join(f'{name} {counts[name]}' for name in data.labels)}"
    else:
        numbers = [float(labels.values[name]) for _, labels in clips for name in dimensions]
        data = replace(data, range=(min(numbers), max(numbers)))
        described = f"columns {', '.join(dimensions)}: numbers from {min(numbers):g} to {max(numbers):g}"
    data, rule = _choose_folds(shards, data, clips)
    notes = [f"{count_noun(len(clips), 'labelled clip')} of source {source}; {described}", rule]
    if data.excluded:
        notes.append(f"excluded, because in some fold no clip is left to train on: {', '.join(data.excluded)}")
    if data.modalities == ("video",):
        notes.append("no clip has sound: fine-tune with --set modalities=v")
    return NewDataset(data=data, notes=tuple(notes))


def _labelled_source(shards: LabelledShards, source: str | None) -> tuple[str, list[tuple[LabelledClip, Labels]]]:
    """Return the name of the source and its labelled clips."""
    clips: dict[str, list[tuple[LabelledClip, Labels]]] = {}
    for clip in shards.clips():
        if clip.labels is not None and clip.labels.values:
            clips.setdefault(clip.source, []).append((clip, clip.labels))
    where = ", ".join(map(str, shards.shards))
    if not clips:
        raise UserError(f"{where}: no clip has labels; curate a folder with a labels.csv (file,label,subject,fold)")
    if source is None and len(clips) > 1:
        raise UserError(f"{where}: {', '.join(sorted(clips))} have labels; name one with --source")
    source = source or next(iter(clips))
    if source not in clips:
        raise UserError(describe_unknown_key(f"--source {source}", source, list(clips), "labelled source"))
    return source, clips[source]


def _choose_columns(source: str, rows: Sequence[Labels], column: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the column of classes and no dimensions, or "" and the columns of dimensions."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    if column is not None and column not in names:
        raise UserError(describe_unknown_key(f"--column {column}", column, names, "column of labels"))
    names = names if column is None else [column]
    dimensions = [name for name in names if name not in _LABEL_COLUMNS and _is_numeric(rows, name)]
    classes = [name for name in names if name not in dimensions]
    if not classes:
        return "", tuple(dimensions)
    label = next((name for name in _LABEL_COLUMNS if name in classes), classes[0])
    if label not in _LABEL_COLUMNS and len(classes) > 1:
        raise UserError(f"source {source}: columns {', '.join(classes)} could be the labels; name one with --column")
    return label, ()


def _is_numeric(rows: Sequence[Labels], name: str) -> bool:
    """Return whether every row has a finite number in a column."""
    try:
        return all(math.isfinite(float(row.values.get(name, ""))) for row in rows)
    except ValueError:
        return False


def _choose_folds(
    shards: LabelledShards, data: Dataset, clips: Sequence[tuple[LabelledClip, Labels]]
) -> tuple[Dataset, str]:
    """Return the data set with folds in which its classes can be learned, and the sentence about them."""
    candidates = [(replace(data, **fields), rule) for fields, rule in _fold_rules(data, clips)]
    best: tuple[Dataset, str] | None = None
    for candidate, rule in candidates:
        complete = _exclude_rare_labels(shards, candidate)
        if complete is not None and (best is None or len(complete.labels) > len(best[0].labels)):
            best = complete, rule
    if best is None:
        raise UserError(
            f"source {data.source}: no folds leave two classes to train on; label clips of more people or recordings"
        )
    return best


def _fold_rules(data: Dataset, clips: Sequence[tuple[LabelledClip, Labels]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the fields of each way to make folds, the one with the least leakage first, and its sentence."""
    rows = [labels for _, labels in clips]
    folds = _require_all(data, rows, "fold", lambda row: row.folds.get(LABELS_CSV_SCHEME))
    if folds:
        yield {"split": "predefined", "folds": max(1, *folds)}, "folds: those of the column fold"
        return
    people = set(_require_all(data, rows, "subject", lambda row: row.subject))
    if len(people) > 1 and not _shares_originals(rows):
        rule = f"folds: by person, of {len(people)}; nobody is both trained on and tested"
        yield {"split": "subject_blocks", "folds": min(_FOLDS, len(people))}, rule
        return
    # One person is in every part, so only recordings can be kept apart.
    overlap = {"subjects_overlap": bool(people)}
    why = "people share originals" if len(people) > 1 else "there is one subject" if people else "no subject is given"
    sessions = set(_require_all(data, rows, "session", lambda row: row.session))
    if len(sessions) > 1:
        yield {"split": "session", "folds": min(_FOLDS, len(sessions)), **overlap}, f"folds: by session, because {why}"
    groups = {clip.group_id for clip, _ in clips}
    if len(groups) > 1:
        yield {"split": "group", "folds": min(_FOLDS, len(groups)), **overlap}, f"folds: by recording, because {why}"


def _shares_originals(rows: Sequence[Labels]) -> bool:
    """Return whether an original and its fakes are of several people, so that folds by person would tear it."""
    subject_of: dict[str, str | None] = {}
    forged = [(row.forgery.original, row.subject) for row in rows if row.forgery]
    return any(subject_of.setdefault(original, subject) != subject for original, subject in forged)


def _require_all(data: Dataset, rows: Sequence[Labels], name: str, value_of: Callable[[Labels], Any]) -> list[Any]:
    """Return the values of a column that is filled in for every clip; [] for one that is empty everywhere."""
    values = [value for row in rows if (value := value_of(row)) is not None]
    if values and len(values) < len(rows):
        raise UserError(
            f"source {data.source}: {len(rows) - len(values)} of {count_noun(len(rows), 'clip')} have no {name}; "
            f"give each row of labels.csv a {name}, or none"
        )
    return values


def _exclude_rare_labels(shards: LabelledShards, data: Dataset) -> Dataset | None:
    """Return the data set without the labels that some fold cannot train; None where fewer than two are left."""
    while data.dimensions or len(data.labels) > 1:
        clips = read_labelled_clips(shards, data)
        modalities = "av" if "audio" in data.modalities else "v"
        label_of = {clip.key: clip.label for clip in clips.clips}
        rare: set[str] = set()
        for fold in make_folds(data, clips.clips):
            train, _ = split_validation(clips, fold.train, _VALIDATION_SHARE)
            learned = {label_of[key] for key in usable_keys(data, train, clips.silent, modalities)}
            rare |= set(data.labels) - learned
        if not rare:
            return data
        kept = tuple(label for label in data.labels if label not in rare)
        data = replace(data, labels=kept or ("",), excluded=(*data.excluded, *sorted(rare)))
    return None
