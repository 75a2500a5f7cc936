"""Which videos are in which fold, as a file that training and ensembles read: folds.json of `avf-train frame-folds`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.versions import SCHEMA_VERSION, stamp
from avf_shards.settings.config import refuse
from avf_shards.system.durable_io import replace_file
from avf_shards.system.own_files import json_table, require_replaceable

from avf_training.framewise.ensemble.folds import grouped_folds
from avf_training.framewise.json_records import bind_json_record


@dataclass(frozen=True, kw_only=True)
class FoldRow:
    """One person of one video."""

    source: str  # name of the corpus
    video: str  # unique within the source
    person: int = 0  # number of the person in the video
    group: str  # what stays together: the media file, or the person
    frames: int  # with a valid label
    fold: int  # that the video validates in, from 1; the models of all other folds are trained on it


@dataclass(frozen=True, kw_only=True)
class FoldTable:
    """Folds of labelled videos, no group in two of them."""

    task: str  # whose valid labels were counted
    seed: int  # that the folds were drawn by
    folds: int  # their number
    rows: tuple[FoldRow, ...]  # sorted by source, video and person

    def __post_init__(self) -> None:
        folds_of: dict[tuple[str, str], set[int]] = {}
        for row in self.rows:
            folds_of.setdefault((row.source, row.group), set()).add(row.fold)
        names = [(row.source, row.video, row.person) for row in self.rows]
        refuse(
            (not self.rows, "rows must not be empty"),
            (len(set(names)) < len(names), "rows name a person of a video twice"),
            *((not 1 <= row.fold <= self.folds, f"rows: fold {row.fold} of {row.video}") for row in self.rows),
            *((len(each) > 1, f"rows: group {group} is in several folds") for (_, group), each in folds_of.items()),
        )

    def fold_of(self) -> Mapping[tuple[str, str, int], int]:
        """Return the fold by source, video and person."""
        return {(row.source, row.video, row.person): row.fold for row in self.rows}


@dataclass(frozen=True, kw_only=True)
class FoldSubject:
    """What a fold is drawn from: a person of a video with the number of valid labels."""

    source: str
    video: str
    person: int
    group: str  # of the labels: what stays together
    frames: int


def draw_fold_table(task: str, subjects: Sequence[FoldSubject], *, folds: int, seed: int) -> FoldTable:
    """Draw folds of about equally many valid frames; all videos of a group are in one fold.

    Five folds are those of the settings `fold` and `fold_seed` of train-frames.

    Raises UserError where there are fewer groups than folds.
    """
    frames: dict[str, int] = {}
    for subject in subjects:
        frames[subject.group] = frames.get(subject.group, 0) + subject.frames
    plan = grouped_folds(frames, folds=folds, seed=seed)
    fold_of = {group: fold for fold, groups in enumerate(plan.folds, 1) for group in groups}
    rows = [
        FoldRow(
            source=each.source,
            video=each.video,
            person=each.person,
            group=each.group,
            frames=each.frames,
            fold=fold_of[each.group],
        )
        for each in sorted(subjects, key=lambda each: (each.source, each.video, each.person))
    ]
    return FoldTable(task=task, seed=seed, folds=folds, rows=tuple(rows))


FOLDS = json_table("a table of folds", ("task", "seed", "folds", "rows", SCHEMA_VERSION))
"""What `write_fold_table` may replace."""


def write_fold_table(path: Path, table: FoldTable) -> None:
    """Write the table as JSON. Raises UserError where another file stands at `path`."""
    require_replaceable(path, FOLDS)
    text = json.dumps(stamp(asdict(table), "frame folds"), indent=1, sort_keys=True)
    replace_file(path, (text + "\n").encode())


def read_fold_table(path: Path) -> FoldTable:
    """Read a table. Raises UserError that names the file and what is wrong."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; `avf-train frame-folds` writes one")
    return bind_json_record(FoldTable, path, "frame folds", "`avf-train frame-folds` writes such a table")
