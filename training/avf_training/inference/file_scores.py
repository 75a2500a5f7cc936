"""A submission of a detector of fakes: `file;score`, a line for each file of an official list, a higher score a fake.

AV-Deepfake1M's challenges want a line for every listed file. A file without a score has no clip: no face was found, or
it could not be read.
"""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.forgery import FAKE, REAL
from avf_shards.system import durable_io
from avf_shards.system.own_files import OwnFile
from avf_shards.text import count_noun

from avf_training.data.storage import StorageConfig
from avf_training.inference.feature_model import FeatureModel
from avf_training.inference.person_prediction import PersonPrediction
from avf_training.models.pooling import pool_windows
from avf_training.tasks.labelled_shards import LabelledShards

_LINE = re.compile(r".+;[01]\.\d{6}")
ABSENT_RULES = ("refuse", "median")  # or a number


@dataclass(frozen=True, kw_only=True)
class FileScores:
    """The score of each listed file, in the order of the list."""

    score_of: Mapping[str, float]
    filled: tuple[str, ...]  # files of the list without a prediction
    rule: str  # by which these have a score, in words; empty where there is none of them
    unlisted: int  # files with a prediction that the list does not name


def _is_scores(path: Path) -> bool:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return False
    return all(_LINE.fullmatch(line) for line in lines)


SCORES = OwnFile(noun="a submission of file;score", knows=_is_scores)


def read_file_list(path: Path) -> list[str]:
    """Return the files of a list, one a line. Raises UserError for one that is listed twice, and for an empty list."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})") from None
    files: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if name and name in files:
            raise UserError(f"{path}: line {number}: {name} is in line {files[name]} already; list each file once")
        if name:
            files[name] = number
    if not files:
        raise UserError(f"{path}: lists no file; it needs a path in each line")
    return list(files)


def require_detector(model: FeatureModel) -> None:
    """Raise UserError for a model of other classes than real and fake."""
    if model.names != (REAL, FAKE):
        raise UserError(
            f"the model has learned {', '.join(model.names) or 'classes without names'}, not real and fake; name a "
            "model of a task of detection"
        )


def check_list(listed: Sequence[str], shards: str, absent: str) -> None:
    """Raise UserError for a list that `answer_list` would refuse, by the paths of the clips before they are predicted.

    Args:
        listed: of `read_file_list`.
        shards: folder of the clips that will be predicted.
        absent: as in `answer_list`.
    """
    records = LabelledShards([shards], StorageConfig()).records()
    answer_list(listed, {record.path: 0.5 for _, record in records}, absent)


def pool_files(people: Sequence[PersonPrediction]) -> dict[str, float]:
    """Return the probability of a fake of each file by its path: of the windows of all its people together.

    Raises UserError for one path in two sources.

    Args:
        people: predictions of a model that `require_detector` accepts.
    """
    windows_of: dict[str, list[float]] = {}
    source_of: dict[str, str] = {}
    for person in people:
        if source_of.setdefault(person.path, person.source) != person.source:
            raise UserError(
                f"{person.path}: is a file of two sources, {source_of[person.path]} and {person.source}; score the "
                "files of one source at a time"
            )
        windows_of.setdefault(person.path, []).extend(window.scores[1] for window in person.windows)
    return {path: pool_windows(scores, people[0].pool) for path, scores in windows_of.items()}


def answer_list(listed: Sequence[str], scores: Mapping[str, float], absent: str = "refuse") -> FileScores:
    """Return the score of each listed file.

    A listed file is the one of this path, or the only one whose path ends with it, or the other way round: archives
    are unpacked into folders of their own.

    Args:
        listed: of `read_file_list`.
        scores: of `pool_files`, by path.
        absent: what becomes of a file without a prediction: refuse, median (of the scores of the list), or a number
            from 0 to 1.

    Raises:
        UserError: for a file without a prediction by the rule `refuse`, one that fits several, several that fit one,
            another rule, and a list none of whose files has a prediction.
    """
    value = _parse_rule(absent)
    path_of = {name: path for name in listed if (path := _find(name, scores)) is not None}
    _require_own_predictions(path_of)
    missing = tuple(name for name in listed if name not in path_of)
    if not path_of:
        held = next(iter(scores), "none")
        raise UserError(
            f"none of {count_noun(len(listed), 'listed file')} has a prediction, as {listed[0]}; the first file that "
            f"has: {held}"
        )
    if missing and absent == "refuse":
        raise UserError(
            f"{missing[0]}: has no prediction, as {len(missing):,} of {count_noun(len(listed), 'listed file')}: no "
            "face was found, or it was not read; give such files a score with --absent median, or --absent 0.5"
        )
    known = {name: scores[path] for name, path in path_of.items()}
    fill = statistics.median(known.values()) if value is None else value
    words = f"the median of the others, {fill:.6f}" if absent == "median" else f"{fill:g}"
    return FileScores(
        score_of={name: known.get(name, fill) for name in listed},
        filled=missing,
        rule=words if missing else "",
        unlisted=len(scores.keys() - set(path_of.values())),
    )


def write_file_scores(out: Path, answers: FileScores) -> None:
    """Write `file;score` in the order of the list."""
    lines = [f"{name};{score:.6f}\n" for name, score in answers.score_of.items()]
    durable_io.replace_file(out, "".join(lines).encode())


def check_absent_rule(absent: str) -> None:
    """Raise UserError for what is no rule for absent files."""
    _parse_rule(absent)


def _parse_rule(absent: str) -> float | None:
    if absent in ABSENT_RULES:
        return None
    try:
        value = float(absent)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"--absent {absent}: must be {', '.join(ABSENT_RULES)} or a number from 0 to 1")
    return value


def _require_own_predictions(path_of: Mapping[str, str]) -> None:
    """Raise UserError where two files of the list would get the score of one predicted file."""
    name_of: dict[str, str] = {}
    for name, path in path_of.items():
        if name_of.setdefault(path, name) != name:
            raise UserError(
                f"{name_of[path]} and {name}: are two listed files, and {path} is the only predicted one that fits "
                "either; predict from the folder that the list's paths begin in"
            )


def _find(name: str, scores: Mapping[str, float]) -> str | None:
    """Return the path of the predicted file that a line of the list names; None where there is none."""
    if name in scores:
        return name
    fitting = [path for path in scores if path.endswith(f"/{name}") or name.endswith(f"/{path}")]
    if len(fitting) > 1:
        raise UserError(f"{name}: fits {fitting[0]} and {fitting[1]}; predict one folder of the list's files at a time")
    return fitting[0] if fitting else None
