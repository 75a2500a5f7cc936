"""The figure of a video has the curves of the ledger and its verdicts, whatever the file is called."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.reports.curves_figure import draw_curves
from avf_curation.stages.speaker import SpeakerScores
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.ledger import Decision, Status
from avf_shards.timeline import Span
from matplotlib.figure import Figure
from support.runs import make_run


def make_span(start: int, stop: int, status: Status, scores_T: list[float] | None, name: str = "a.mp4") -> Decision:
    measurements: dict[str, Any] = {}
    if scores_T is not None:
        curve_T = np.float32(scores_T)
        scores = SpeakerScores(backend="lr-asd", speaking_T=curve_T, mouth_T=curve_T, sound_T=np.float64(scores_T))
        measurements = {"speaker": scores.record()}
    return Decision(
        source="s",
        video_id=name,
        group_id=name,
        path=name,
        span=Span(start, stop),
        status=status,
        reason="not_speaking" if status == "rejected" else None,
        measurements=json.dumps(measurements),
    )


SPANS = [
    make_span(0, 25, "kept", 25 * [2.0]),
    make_span(25, 50, "rejected", 24 * [-1.5] + [-2.0]),
    make_span(50, 99, "failed", None),
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Return the list to which each figure that is written is added."""
    written: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        written.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written


def test_each_measured_span_has_its_curves_and_each_span_its_verdict(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(SPANS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    verdicts, speaking, mouth, sound = figure.axes
    assert [text.get_text() for text in verdicts.texts] == ["kept", "not_speaking", "failed"]
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    named = dict(zip(words, (patch.get_facecolor() for patch in legend.get_patches()), strict=True))
    bars = [tuple(bar.get_facecolor()[0]) for bar in verdicts.collections]
    assert bars == [named["kept"], named["rejected"], named["failed"]]
    curves = [line.get_xydata() for line in speaking.lines if len(line.get_xydata()) > 2]
    assert [curve[0].tolist() for curve in curves] == [[0.0, 2.0], [1.0, -1.5]]
    assert curves[1][-1].tolist() == [49 / 25, -2.0]
    assert sound.get_xlim() == (0.0, 99 / 25)
    assert mouth.get_ylabel() == "mouth (grey levels)"


@pytest.mark.parametrize("name", ["$x$.mp4", "$\\frac{.mp4", "\x1b[31m\n.mp4", "a" * 300, "\udcff.mp4", "表.mp4"])
def test_a_file_may_be_called_anything(tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_curves([make_span(0, 3, "kept", [1.0, 2.0, 3.0], name)], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_what_has_no_curves_or_false_ones_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"s/a\.mp4: the run has no curves of it.*weights pull lr_asd"):
        draw_curves(SPANS[2:], tmp_path / "a.png")
    with pytest.raises(FaultError, match=r"a\.mp4: speaker\.speaking_curve: has 25 values for 24 frames"):
        draw_curves([replace(SPANS[0], span=Span(0, 24))], tmp_path / "a.png")
    number = json.dumps({"speaker": {"speaking_curve": 3, "mouth_curve": None}})
    with pytest.raises(FaultError, match="must be text"):
        draw_curves([replace(SPANS[0], measurements=number)], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_the_command_names_what_it_cannot_draw_and_keeps_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, videos=1)
    command = ["explain", str(run.root), "000.mp4", "--picture"]
    assert main([*command, str(tmp_path / "a.png")]) == 2
    assert "the run has no curves of it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / "a.jpg")])
    assert "a.jpg must end in .png: the picture is a PNG" in capsys.readouterr().err
    (tmp_path / "holiday.png").write_bytes(b"a picture of somebody")
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / "holiday.png")])
    assert "is not a figure of this program" in capsys.readouterr().err
    assert (tmp_path / "holiday.png").read_bytes() == b"a picture of somebody"
