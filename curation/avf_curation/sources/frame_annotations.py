"""Annotations of single frames as the ABAW challenges distribute them: a file for each person of a video and task.

The first line names the task's columns; line i after it belongs to frame i, counted from 1.
"""

import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes, read_text

from avf_curation.sources.listing import LabelFile, Listing

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
ACTION_UNITS = tuple(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))
SETS = ("train", "validation", "test")
_SET_FOLDERS = {"train": "Train_Set", "validation": "Validation_Set"}
_TEST_LISTS = "names_of_videos_in_each_test_set"
_ANNOTATIONS = re.compile(r"(\d+)[a-z]{2}_ABAW_Annotations")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MAX_BYTES = 64_000_000  # of an annotation; a video of a day has a tenth
_MAX_NAMED_LINES = 20  # of one file; the others are counted


@dataclass(frozen=True, kw_only=True)
class AnnotationTask:
    """One of the challenge's label sets."""

    name: str
    folders: tuple[str, ...]  # spellings
    test_lists: tuple[str, ...]  # spellings
    header: tuple[str, ...]  # the first line, split at its commas
    columns: tuple[str, ...]  # of the lines below
    classes: tuple[str, ...] = ()  # whose numbers the values are
    invalid: float = -1  # marks a frame that has no label
    low: float = 0  # smallest valid value
    high: float = 1  # largest valid value
    is_whole: bool = True  # only whole numbers are valid


TASKS = (
    AnnotationTask(
        name="valence_arousal",
        folders=("VA_Estimation_Challenge",),
        test_lists=(
            "Valence_Arousal_Estimation_Challenge_test_set_release.txt",
            "VA_Estimation_Challenge_test_set_release.txt",
        ),
        header=("valence", "arousal"),
        columns=("valence", "arousal"),
        invalid=-5,
        low=-1,
        is_whole=False,
    ),
    AnnotationTask(
        name="expressions",
        folders=("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge"),
        test_lists=(
            "Expression_Recognition_Challenge_test_set_release.txt",
            "Expression_Classification_Challenge_test_set_release.txt",
        ),
        header=EXPRESSIONS,
        columns=("expression",),
        classes=EXPRESSIONS,
        high=len(EXPRESSIONS) - 1,
    ),
    AnnotationTask(
        name="action_units",
        folders=("AU_Detection_Challenge",),
        test_lists=(
            "Action_Unit_Detection_Challenge_test_set_release.txt",
            "AU_Detection_Challenge_test_set_release.txt",
        ),
        header=ACTION_UNITS,
        columns=ACTION_UNITS,
    ),
)


@dataclass(kw_only=True)
class TrackAnnotations:
    """What the owners say of one person of a video."""

    sets: dict[str, str] = field(default_factory=dict)  # task -> train, validation or test
    frames: dict[str, FrameLabels] = field(default_factory=dict)  # task -> labels
    files: dict[str, str] = field(default_factory=dict)  # task -> file, or line of a list, that says so
    label_paths: dict[str, str] = field(default_factory=dict)  # task -> file that has the labels

    @property
    def labels_total(self) -> int:
        """The most labels that a task has."""
        return max((labels.total for labels in self.frames.values()), default=0)

    def note_files(self, listing: Listing, track: str) -> None:
        """Tell the listing the file of each task's labels; line i after the first belongs to frame i."""
        for task, path in self.label_paths.items():
            listing.label_files[track, task] = LabelFile(path=path, line_of=lambda frame: frame + 1)


def read_annotations(listing: Listing, base: str) -> dict[str, TrackAnnotations]:
    """Return name of a track -> its annotations, sorted; note every file and line that cannot be used.

    A track that is in two sets of a task is noted, and counts for the later one of train, validation and test: what
    may be tested on is not trained on.

    Args:
        base: prefix of the annotations' folder, as `Listing.find_base` returns it.
    """
    tracks: dict[str, TrackAnnotations] = {}
    folder = _find_folder(listing, base)
    for task in TASKS:
        present = [name for name in task.folders if folder and listing.has_folder(f"{folder}/{name}")]
        for name in present:
            _read_task(listing, f"{folder}/{name}", task, tracks)
        if folder and not present:
            listing.skip("missing", f"{folder}/{task.folders[0]}", f"no annotations of {task.name}")
        _read_test_lists(listing, base, task, tracks)
    return dict(sorted(tracks.items()))


def _find_folder(listing: Listing, base: str) -> str | None:
    """Return the folder of the newest edition's annotations; note those of other editions."""
    names = [path.name for path in (listing.root / base).iterdir() if _ANNOTATIONS.fullmatch(path.name)]
    editions = sorted(names, key=lambda name: int(name.partition("_")[0][:-2]))
    for name in editions[:-1]:
        listing.skip("excluded", f"{base}{name}", f"annotations of an earlier edition; {editions[-1]} is read")
    if not editions:
        listing.skip("missing", f"{base}6th_ABAW_Annotations", "no folder of annotations")
        return None
    return f"{base}{editions[-1]}"


def _read_task(listing: Listing, folder: str, task: AnnotationTask, tracks: dict[str, TrackAnnotations]) -> None:
    """Read the training and validation set of one task."""
    for name, set_folder in _SET_FOLDERS.items():
        for stem, file in listing.files_by_stem(
            f"{folder}/{set_folder}", r"(?!\.).+\.txt", "annotation (.txt)"
        ).items():
            labels = _read_file(listing, file.path, task)
            if labels is None:
                continue
            annotations = tracks.setdefault(stem, TrackAnnotations())
            if _enter_set(listing, annotations, task.name, name, file.path):
                annotations.frames[task.name] = labels
                annotations.label_paths[task.name] = file.path


def _enter_set(listing: Listing, annotations: TrackAnnotations, task: str, name: str, where: str) -> bool:
    """Put a track into a set of a task; note a second set. Return whether the track now counts for it."""
    before, first = annotations.sets.get(task), annotations.files.get(task)
    if before is not None:
        later = max(before, name, key=SETS.index)
        listing.skip("duplicate", where, f"in the set {name} of {task}, and in {before} by {first}: counts for {later}")
        if before == later:
            return False
    annotations.sets[task], annotations.files[task] = name, where
    return True


def _read_file(listing: Listing, path: str, task: AnnotationTask) -> FrameLabels | None:
    """Return the labels of a file, or None where it is no annotation of the task. A bad line is a frame without one."""
    try:
        data = read_bytes(listing.locate(path), _MAX_BYTES + 1)
    except OSError as error:
        raise_machine_fault(error)
        listing.skip_unreadable(path, error)
        return None
    if len(data) > _MAX_BYTES:
        listing.skip("bad_row", path, f"more than {_MAX_BYTES / 1e6:.0f} MB, which no annotation has")
        return None
    lines = data.decode("utf-8-sig", "replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    header = tuple(name.strip() for name in lines[0].split(",")) if lines else ()
    if tuple(map(str.lower, header)) != tuple(map(str.lower, task.header)):
        shown = ",".join(header)[:80] or "nothing"
        listing.skip("bad_row", f"{path}:1", f"the first line is {shown!r}, and must be {','.join(task.header)!r}")
        return None
    return _parse_lines(listing, path, task, lines[1:])


def _parse_lines(listing: Listing, path: str, task: AnnotationTask, lines: list[str]) -> FrameLabels:
    columns = {name: array("d", [math.nan]) * len(lines) for name in task.columns}
    bad_lines = 0
    for index, line in enumerate(lines):
        fields = [text.strip() for text in line.split(",")]
        fault = None
        if len(fields) != len(task.columns) or not all(_NUMBER.fullmatch(text) for text in fields):
            fault = f"{line[:60]!r} is not {len(task.columns)} numbers"
        else:
            values = [float(text) for text in fields]
            for name, value in zip(task.columns, values, strict=True):
                if value == task.invalid:
                    continue
                if task.low <= value <= task.high and (value.is_integer() or not task.is_whole):
                    columns[name][index] = value
                else:
                    fault = f"{name} {value:g} is neither {task.invalid:g} nor from {task.low:g} to {task.high:g}"
        if fault is not None:
            bad_lines += 1
            if bad_lines <= _MAX_NAMED_LINES:
                listing.skip("bad_row", f"{path}:{index + 2}", f"{fault}: frame {index + 1} has no such label")
    if bad_lines > _MAX_NAMED_LINES:
        listing.skip("bad_row", path, f"{bad_lines - _MAX_NAMED_LINES:,} more lines that are no labels")
    return FrameLabels(first_frame=1, columns=columns, classes=task.classes, total=len(lines))


def _read_test_lists(listing: Listing, base: str, task: AnnotationTask, tracks: dict[str, TrackAnnotations]) -> None:
    """Put the tracks of the task's lists, one name a line without extension, into the set `test`."""
    for where, name in _read_names(listing, base, task):
        _enter_set(listing, tracks.setdefault(name, TrackAnnotations()), task.name, "test", where)


def _read_names(listing: Listing, base: str, task: AnnotationTask) -> Iterator[tuple[str, str]]:
    """Yield where a name stands, and the name."""
    seen: dict[str, str] = {}
    for file in task.test_lists:
        path = f"{base}{_TEST_LISTS}/{file}"
        if not listing.has_file(path):
            continue
        for number, line in enumerate(read_text(listing.locate(path), "utf-8-sig", "replace").splitlines(), 1):
            name, where = line.strip(), f"{path}:{number}"
            if not name:
                continue
            if name in seen:
                listing.skip("duplicate", where, f"{name} was listed before, in {seen[name]}")
                continue
            seen[name] = where
            yield where, name
