"""The learning curve draws each kind of score on an axis that means the same for all of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from avf_training.trainer import learning_curve
from avf_training.trainer.metrics_writer import EVALUATION, METRICS, MetricsWriter


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    pyplot = learning_curve.load_pyplot()
    close = pyplot.close
    drawn: list[Any] = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    yield drawn
    close("all")


def draw(run: Path, scores: dict[str, float], figures: list[Any]) -> dict[str, Any]:
    """Draw the curve of a run of one step; return title -> axis."""
    writer = MetricsWriter(run, 0, 1)
    writer.write({"step": 0, "loss": 0.7}, METRICS)
    writer.write({"step": 0, **scores}, EVALUATION)
    assert learning_curve.draw_learning_curve(run).is_file()
    return {axis.get_title(loc="left"): axis for axis in figures[-1].axes}


def labels(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_a_perfect_score_is_not_called_chance(tmp_path: Path, figures: list[Any]) -> None:
    axes = draw(tmp_path, {"validation WAR": 1.0, "test_best WAR": 0.5}, figures)
    (scores,) = (axis for title, axis in axes.items() if "loss" not in title)
    assert labels(scores) == ["validation WAR", "test_best WAR"]
    assert scores.get_yscale() == "linear"
    (loss,) = (axis for title, axis in axes.items() if "loss" in title)
    assert loss.lines[-1].get_marker() == "o", "the only step is seen"


def test_ratios_and_the_health_of_features_have_axes_of_their_own(tmp_path: Path, figures: list[Any]) -> None:
    scores = {
        "mse/mean image": 1.2,
        "R@1/chance": 2.0,
        "probe/knn UAR": 0.4,
        "rank/video": 9.0,
        "uniformity/audio": -2.0,
    }
    axes = draw(tmp_path, scores, figures)
    ratios = axes["validation (log axis): worse than the mean image"]
    assert labels(ratios) == ["mse/mean image", "R@1/chance", "1: no better than mean or chance"]
    assert labels(axes["rank of the frozen features"]) == ["rank/video"]
    assert axes["spread of the frozen features"].get_yscale() == "linear", "the values are negative"
