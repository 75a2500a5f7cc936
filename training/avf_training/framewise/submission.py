"""Files of the challenge: the official list of pictures, and the predictions for each of them.

The first line of both names the task; each other line begins with VIDEO/00001.jpg. A submission has every row of the
list, in its order. Rows of frames without a prediction repeat the one before, and what was repeated is counted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from avf_shards.errors import UserError
from avf_shards.system.durable_io import replace_file
from avf_shards.system.own_files import OwnFile, require_replaceable
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import ACTION_UNITS, EXPRESSIONS

ChallengeTask = Literal["valence_arousal", "expressions", "action_units"]

HEADERS: dict[ChallengeTask, str] = {
    "valence_arousal": "image_location,valence,arousal",
    "expressions": "image_location," + ",".join(EXPRESSIONS),
    "action_units": "image_location," + ",".join(f"AU{unit}" for unit in ACTION_UNITS),
}
"""First line of a file of each task. Rows of expressions hold one number all the same, that of the class."""

_COLUMNS: dict[ChallengeTask, int] = {"valence_arousal": 2, "expressions": 1, "action_units": len(ACTION_UNITS)}
_IMAGE = re.compile(r"(?P<video>[^/,][^,]*)/(?P<frame>\d{5,9})\.jpg")  # a video of one's own may lie in a folder


@dataclass(frozen=True, kw_only=True)
class ImageLocation:
    """A row of the official list."""

    video: str  # with `_left` or `_right` where there are two persons
    frame: int  # from 1

    def __str__(self) -> str:
        return f"{self.video}/{self.frame:05d}.jpg"


@dataclass(frozen=True, kw_only=True)
class FilledVideo:
    """What was done to give every row of a video a prediction."""

    video: str
    rows: int  # of the official list
    repeated_inside: int  # frames without a prediction, filled with the one before, or at the start the first
    repeated_end: int  # frames behind the last prediction, filled with it
    cut: int  # predictions that the list does not ask for

    @property
    def repeated(self) -> int:
        """Return the rows that have the prediction of another frame."""
        return self.repeated_inside + self.repeated_end

    def __str__(self) -> str:
        parts = [
            f"{count:,} {text}"
            for count, text in (
                (self.repeated_inside, "repeated inside"),
                (self.repeated_end, "repeated at the end"),
                (self.cut, "not asked for"),
            )
            if count
        ]
        return (
            f"{self.video}: {count_noun(self.rows, 'row')}, {', '.join(parts) or 'each with a prediction of its own'}"
        )


def task_of_header(path: Path, header: str) -> ChallengeTask:
    """Return the task that a first line names, in capitals or not. Raises UserError for any other line."""
    for task, text in HEADERS.items():
        if [part.strip().lower() for part in header.split(",")] == text.lower().split(","):
            return task
    raise UserError(
        f"{path}: line 1: {header[:80]!r} is the header of no task; it would be {' or '.join(HEADERS.values())}"
    )


def read_image_list(path: Path) -> tuple[ChallengeTask, list[ImageLocation]]:
    """Read the official list (a sample file). Raises UserError naming file and line."""
    lines = _read_lines(path)
    task = task_of_header(path, lines[0])
    images: dict[ImageLocation, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        image = _parse_image(path, number, line.partition(",")[0])
        if image in images:
            raise UserError(f"{path}: line {number}: {image} stands in line {images[image]} too")
        images[image] = number
    if not images:
        raise UserError(f"{path}: has no row but the header")
    return task, list(images)


def fill_rows(
    images: Sequence[ImageLocation], predictions: Mapping[str, Mapping[int, Floats]]
) -> tuple[list[Floats], list[FilledVideo]]:
    """Return a prediction for each row, and what was repeated in each video, in the order of the list.

    Args:
        predictions: of each video by frame number, (D,).

    Raises UserError for a video without a prediction, or a prediction that is nan or infinite.
    """
    frames_of: dict[str, list[int]] = {}
    for image in images:
        frames_of.setdefault(image.video, []).append(image.frame)
    filled: dict[tuple[str, int], Floats] = {}
    statements = []
    for video, frames in frames_of.items():
        known = predictions.get(video, {})
        if not known:
            rows = count_noun(len(frames), "row")
            raise UserError(f"video {video}: {rows} of the official list and no prediction")
        for frame, values in known.items():
            if not np.isfinite(values).all():
                raise UserError(f"{video}, frame {frame}: prediction {np.asarray(values).tolist()} is not a number")
        order = np.array(sorted(known))
        source = order[np.maximum(0, np.searchsorted(order, frames, side="right") - 1)]
        filled |= {(video, frame): known[int(used)] for frame, used in zip(frames, source, strict=True)}
        behind = sum(frame > order[-1] for frame in frames)
        statements.append(
            FilledVideo(
                video=video,
                rows=len(frames),
                repeated_inside=int((source != frames).sum()) - int(behind),
                repeated_end=int(behind),
                cut=len(set(known) - set(frames)),
            )
        )
    return [filled[image.video, image.frame] for image in images], statements


def write_submission(path: Path, sample: Path, predictions: Mapping[str, Mapping[int, Floats]]) -> list[FilledVideo]:
    """Write the predictions of a task for every row of the official list; return what was repeated.

    Args:
        predictions: of each video by frame number: valence and arousal, (2,); the class, (1,); or action units 0 and 1,
            (12,).

    Raises UserError for a video without a prediction, values that are not numbers or not of the task, a list that
    cannot be read, or another file in the way.
    """
    task, images = read_image_list(sample)
    _refuse_other_file(path, sample)
    rows, statements = fill_rows(images, predictions)
    lines = [HEADERS[task]]
    for image, values in zip(images, rows, strict=True):
        lines.append(f"{image},{_format_values(task, image, np.atleast_1d(values))}")
    replace_file(path, ("\n".join(lines) + "\n").encode())
    return statements


def _is_submission(path: Path) -> bool:
    """Return whether a file has the header of a task, and a first row with its values, which official lists lack."""
    with path.open("rb") as file:
        header, row = (file.readline(1000).decode("utf-8-sig", "replace").strip() for _ in range(2))
    try:
        task = task_of_header(path, header)
        return len([float(cell) for cell in row.split(",")[1:]]) == _COLUMNS[task]
    except (UserError, ValueError):
        return False


SUBMISSION = OwnFile(noun="a submission", knows=_is_submission)
"""What `write_submission` may replace."""


def _refuse_other_file(path: Path, sample: Path) -> None:
    """Raise UserError where a file stands at `path` that is the list itself, or no submission."""
    if path.exists() and path.samefile(sample):
        raise UserError(f"{path}: is the official list itself; name another file for the predictions")
    require_replaceable(path, SUBMISSION)


def read_submission(path: Path) -> tuple[ChallengeTask, dict[ImageLocation, Floats]]:
    """Read a submission. Raises UserError naming file and line of the first row that is wrong."""
    lines = _read_lines(path)
    task = task_of_header(path, lines[0])
    rows: dict[ImageLocation, Floats] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split(",")
        image = _parse_image(path, number, cells[0])
        if len(cells) - 1 != _COLUMNS[task]:
            raise UserError(f"{path}: line {number}: {len(cells) - 1} values; {task} has {_COLUMNS[task]}")
        try:
            values = np.array([float(cell) for cell in cells[1:]])
        except ValueError:
            raise UserError(f"{path}: line {number}: {','.join(cells[1:])[:80]!r} are not numbers") from None
        if image in rows:
            raise UserError(f"{path}: line {number}: {image} again")
        if fault := _describe_invalid_values(task, values):
            raise UserError(f"{path}: line {number}: {fault}")
        rows[image] = values
    return task, rows


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError(f"{path}: not a file of text in UTF-8") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UserError(f"{path}: is empty")
    return lines


def _parse_image(path: Path, number: int, text: str) -> ImageLocation:
    match = _IMAGE.fullmatch(text.strip())
    if match is None or int(match["frame"]) < 1:
        raise UserError(f"{path}: line {number}: {text[:80]!r} is no picture; it would be VIDEO/00001.jpg")
    return ImageLocation(video=match["video"], frame=int(match["frame"]))


def _describe_invalid_values(task: ChallengeTask, values_D: Floats) -> str:
    """Return what is wrong with the values of a row; the empty text where nothing is."""
    if values_D.shape != (_COLUMNS[task],):
        return f"{values_D.size} values; {task} has {_COLUMNS[task]}"
    if not np.isfinite(values_D).all():
        return f"{values_D.tolist()} are not numbers"
    if task == "valence_arousal":
        return "" if (np.abs(values_D) <= 1).all() else f"{values_D.tolist()} lie beyond -1 to 1"
    highest = len(EXPRESSIONS) - 1 if task == "expressions" else 1
    is_class = (values_D == np.round(values_D)) & (values_D >= 0) & (values_D <= highest)
    return "" if is_class.all() else f"{values_D.tolist()}; {task} are whole numbers from 0 to {highest}"


def _format_values(task: ChallengeTask, image: ImageLocation, values_D: Floats) -> str:
    if fault := _describe_invalid_values(task, values_D):
        raise UserError(f"{image}: {fault}")
    if task == "valence_arousal":
        return ",".join(f"{value:.6f}" for value in values_D)
    return ",".join(str(int(value)) for value in values_D)
