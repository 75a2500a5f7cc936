"""The figure of predictions over time: people of one video are drawn over the same seconds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_training.inference import prediction_plot
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from matplotlib.figure import Figure


def predict_person(video: str, person: int, spans_s: list[tuple[float, float]]) -> PersonPrediction:
    windows = tuple(
        WindowPrediction(key=f"{video}-{person}", start_s=start_s, stop_s=stop_s, scores=(0.25, 0.75))
        for start_s, stop_s in spans_s
    )
    return PersonPrediction(
        source="s", video_id=video, path=video, person=person, names=("a", "b"), classes=True, windows=windows
    )


def test_people_of_a_video_have_one_time_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [
        predict_person("v.mp4", 0, [(0.0, 2.56), (0.64, 22.4)]),
        predict_person("v.mp4", 1, [(3.0, 11.2)]),
        predict_person("w.mp4", 0, [(0.5, 4.0)]),
    ]
    clips = SimpleNamespace(
        clips=lambda: [SimpleNamespace(key=person.keys[0], index=0) for person in people], read=lambda index: {}
    )
    monkeypatch.setattr(prediction_plot, "LabelledShards", lambda *unused: clips)
    pictures: list[int] = []

    def draw_thumbnails(files: Any, count: int) -> Any:
        pictures.append(count)
        return [np.zeros((8, 8, 3), np.uint8)] * count

    monkeypatch.setattr(prediction_plot, "thumbnails", draw_thumbnails)
    limits: list[tuple[float, float]] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *unused, **others: limits.extend(axes_limits(figure)))
    assert prediction_plot.draw_predictions(tmp_path, people, tmp_path / "v.png") == 3
    assert limits == [(0.0, 22.4)] * 4 + [(0.5, 4.0)] * 2
    assert pictures == [6, 2, 6], "pictures have one width for all people of a video"


def axes_limits(figure: Figure) -> list[tuple[float, float]]:
    return [axes.get_xlim() for axes in figure.axes]
