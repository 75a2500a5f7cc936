"""Predictions as files: JSON, CSV with a row for each window, subtitles, and documents of ELAN."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_shards.system.own_files import require_replaceable
from avf_shards.text import table_cell

from avf_training.inference.clip_input import find_clipped_video, is_one_video
from avf_training.inference.elan import as_elan
from avf_training.inference.person_prediction import PersonPrediction
from avf_training.inference.prediction_kinds import TABLES
from avf_training.inference.subtitles import as_subrip, as_webvtt

_ONE_VIDEO = (".srt", ".vtt", ".eaf")  # a file of these holds one video
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f/\\\\:*?"<>|]')


def predictions_as_values(predictions: Sequence[PersonPrediction], *, each_model: bool = False) -> list[dict[str, Any]]:
    """Return predictions as JSON values, each with its mean scores and its best class, or its probability of a fake.

    Args:
        each_model: with the names of the models, and what each of them predicts for a window.
    """
    values = [_as_values(each) for each in predictions]
    if not each_model:
        for person in values:
            del person["models"]
            for window in person["windows"]:
                del window["each_model"]
    return values


def _as_values(prediction: PersonPrediction) -> dict[str, Any]:
    values = asdict(prediction) | {"mean": prediction.mean, "best": prediction.best, "fake": prediction.fake}
    if not prediction.detects:  # what only a detector of fakes has
        for name in ("pool", "forged_s", "fake"):
            del values[name]
    return values


def write_predictions_file(
    predictions: Sequence[PersonPrediction], out: Path, clips_of: Path, *, each_model: bool = False
) -> Path:
    """Write predictions as the ending of `out` says: .json, .csv, .srt, .vtt or .eaf; return the file or folder.

    The last three hold one video. Of several videos, each has a file of its own, in a folder with the name of `out`
    without its ending. There, earlier predictions of the same names are replaced, and other files stay. Raises
    UserError for another file of such a name, before any is written.

    Args:
        clips_of: the input of the prediction, from which documents of ELAN find the video.
        each_model: tables and JSON also have what each of several models predicts.
    """
    kind = out.suffix.lower()
    if kind == ".json":
        values = predictions_as_values(predictions, each_model=each_model)
        text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        durable_io.replace_file(out, text.encode())
        return out
    if kind == ".csv":
        durable_io.replace_file(out, _as_csv(predictions, each_model).encode())
        return out
    videos = _by_video(predictions)
    if len(videos) == 1:
        _write_video(next(iter(videos.values())), out, clips_of)
        return out
    folder = out.with_suffix("")
    durable_io.make_folder(folder)
    names = _file_names(list(videos))
    for name in names.values():  # before the first is written
        require_replaceable(folder / f"{name}{kind}", TABLES[kind])
    for video, name in names.items():
        _write_video(videos[video], folder / f"{name}{kind}", clips_of)
    return folder


def require_outputs(files: Iterable[Path], clips_of: Path) -> None:
    """Raise UserError where the folder for the files of several videos is the input, or cannot be made or written to.

    Args:
        files: the files to write, of all formats.
        clips_of: the input of the prediction; a video, or the clips of one, needs no folder.
    """
    if is_one_video(clips_of):
        return
    for file in files:
        folder = file.with_suffix("")
        if file.suffix.lower() not in _ONE_VIDEO or not folder.exists():
            continue
        if not folder.is_dir():
            raise UserError(
                f"{folder} is a file; {file} needs a folder of this name for several videos: name another --out"
            )
        if folder.samefile(clips_of):
            raise UserError(
                f"{file}: the files of several videos would be written into {folder}, which is the input; "
                "name another --out"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"{folder}: no permission to write the files of several videos there; name another --out")


def _by_video(predictions: Sequence[PersonPrediction]) -> dict[tuple[str, str], list[PersonPrediction]]:
    videos: dict[tuple[str, str], list[PersonPrediction]] = {}
    for each in predictions:
        videos.setdefault((each.source, each.video_id), []).append(each)
    return videos


def _file_names(videos: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """Return a file name without ending for each (source, video_id): `talk` of talk.mp4, longer where two are equal."""
    candidates = [
        {video: Path(video[1]).stem for video in videos},
        {video: video[1] for video in videos},
        {video: f"{number:05d} {video[1]}" for number, video in enumerate(videos, 1)},
    ]
    for candidate in candidates:
        names = {video: _UNSAFE_IN_NAMES.sub("_", name).lstrip(".") or "_" for video, name in candidate.items()}
        # Names that differ only in case are one file on some file systems.
        if len({name.casefold() for name in names.values()}) == len(videos):
            break
    return names


def _write_video(people: Sequence[PersonPrediction], out: Path, clips_of: Path) -> None:
    if out.suffix.lower() == ".eaf":
        data = as_elan(people, find_clipped_video(clips_of, people[0].path), out)
    else:
        data = (as_subrip(people) if out.suffix.lower() == ".srt" else as_webvtt(people)).encode()
    durable_io.replace_file(out, data)


def _as_csv(predictions: Sequence[PersonPrediction], each_model: bool) -> str:
    """Return a table: source, video, person (from 1, as in the figure), seconds, best class, a column for each name.

    With `each_model`, a column `MODEL: NAME` for each name of each model follows.

    In heads and texts, line breaks are spaces, and what a spreadsheet would run as a formula has an apostrophe before
    it: a text that starts with `=`, `+`, `@` or a tab. A minus stays, because it begins labels such as `-1`.
    """
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    names = predictions[0].names
    of_models = [f"{model}: {name}" for model in predictions[0].models for name in names] if each_model else []
    best = ["best"] if predictions[0].classes else []
    table.writerow(
        ["source", "video", "person", "start_s", "stop_s", *best, *map(table_cell, names), *map(table_cell, of_models)]
    )
    for each in predictions:
        for window in each.windows:
            best = [table_cell(names[window.scores.index(max(window.scores))])] if each.classes else []
            times = f"{window.start_s:.2f}", f"{window.stop_s:.2f}"
            of_window = window.scores + tuple(chain(*window.each_model if each_model else ()))
            scores = (f"{score:.4f}" for score in of_window)
            texts = table_cell(each.source), table_cell(each.video_id)
            table.writerow([*texts, each.person + 1, *times, *best, *scores])
    return file.getvalue()
