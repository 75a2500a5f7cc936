"""Predictions as files: JSON, CSV with a row for each window, subtitles, and documents of ELAN."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.system import durable_io

from avf_training.inference.clip_input import find_clipped_video
from avf_training.inference.elan import as_elan
from avf_training.inference.predictions import PersonPrediction
from avf_training.inference.subtitles import as_subrip, as_webvtt

_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f/\\\\:*?"<>|]')


def predictions_as_values(predictions: Sequence[PersonPrediction]) -> list[dict[str, Any]]:
    """Return predictions as JSON values, each with its mean scores and its best class."""
    return [asdict(each) | {"mean": each.mean, "best": each.best} for each in predictions]


def write_predictions_file(predictions: Sequence[PersonPrediction], out: Path, clips_of: Path) -> Path:
    """Write predictions as the ending of `out` says: .json, .csv, .srt, .vtt or .eaf; return the file or folder.

    The last three hold one video. Of several videos, each has a file of its own, in a folder with the name of `out`
    without its ending.

    Args:
        clips_of: the input of the prediction, from which documents of ELAN find the video.
    """
    kind = out.suffix.lower()
    if kind == ".json":
        text = json.dumps(predictions_as_values(predictions), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        durable_io.replace_file(out, text.encode())
        return out
    if kind == ".csv":
        durable_io.replace_file(out, _as_csv(predictions).encode())
        return out
    videos = _by_video(predictions)
    if len(videos) == 1:
        _write_video(next(iter(videos.values())), out, clips_of)
        return out
    folder = out.with_suffix("")
    durable_io.make_folder(folder)
    for video, name in _file_names(list(videos)).items():
        _write_video(videos[video], folder / f"{name}{kind}", clips_of)
    return folder


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


def _as_csv(predictions: Sequence[PersonPrediction]) -> str:
    """Return a table: source, video, person (from 1, as in the figure), seconds, best class, a column for each name."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    names = predictions[0].names
    best = ["best"] if predictions[0].classes else []
    table.writerow(["source", "video", "person", "start_s", "stop_s", *best, *names])
    for each in predictions:
        for window in each.windows:
            best = [names[window.scores.index(max(window.scores))]] if each.classes else []
            times = f"{window.start_s:.2f}", f"{window.stop_s:.2f}"
            scores = (f"{score:.4f}" for score in window.scores)
            table.writerow([each.source, each.video_id, each.person + 1, *times, *best, *scores])
    return file.getvalue()
